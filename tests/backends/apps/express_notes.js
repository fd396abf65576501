// Express: weak tags (W/) on GET and on the responses of PUT. node express_notes.js PORT
const express = require('express')
const app = express()
const notes = { 1: { text: 'first' } }
app.use(express.json())
app.get('/notes/:name', (ask, say) => (notes[ask.params.name] ? say.json(notes[ask.params.name]) : say.sendStatus(404)))
app.put('/notes/:name', (ask, say) => say.json((notes[ask.params.name] = ask.body)))
app.delete('/notes/:name', (ask, say) => say.sendStatus(delete notes[ask.params.name] ? 204 : 404))
app.listen(Number(process.argv[2]), '127.0.0.1')
