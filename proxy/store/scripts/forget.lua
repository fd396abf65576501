-- Makes the version unknown, as after a write, for a resource that a write elsewhere changed.

forget(load())
return {now, 'forgotten'}
