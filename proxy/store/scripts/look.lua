-- What is known at this moment. While an exclusive claim lasts, its holder has the versions: unknown.

return describe({now, 'looked'}, load())
