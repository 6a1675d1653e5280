/**
 * Stands in for the npm package `sqlite3` (see `overrides` in package.json), whose native addon needs an install script.
 * Callbacks come in a later turn of the event loop, and `this` of `run` has `lastID` and `changes`, as in the original.
 */
const { Database: Sqlite } = require('node-sqlite3-wasm')

class Database {
  constructor(file, ...rest) {
    const done = callbackOf(rest)
    this.error = undefined
    try {
      this.sqlite = new Sqlite(file)
    } catch (error) {
      this.error = error
    }
    setImmediate(() => done?.call(this, this.error ?? null))
  }

  all(sql, ...rest) {
    return this.perform(rest, values => ({ value: plain(this.sqlite.all(sql, values)) }))
  }

  get(sql, ...rest) {
    return this.perform(rest, values => ({ value: plain([this.sqlite.get(sql, values)])[0] ?? undefined }))
  }

  run(sql, ...rest) {
    return this.perform(rest, values => {
      const { changes, lastInsertRowid } = this.sqlite.run(sql, values)
      return { self: { changes: Number(changes), lastID: Number(lastInsertRowid) } }
    })
  }

  close(done) {
    this.sqlite?.close()
    setImmediate(() => done?.call(this, null))
  }

  perform(rest, work) {
    const done = callbackOf(rest)
    const [first] = rest
    const values =
      typeof first === 'function'
        ? []
        : Array.isArray(first)
          ? first
          : rest.filter(value => typeof value !== 'function')
    let outcome
    try {
      if (this.error !== undefined) throw this.error
      outcome = work(values.map(value => (typeof value === 'boolean' ? Number(value) : value)))
    } catch (error) {
      outcome = { error }
    }
    setImmediate(() => done?.call(outcome.self ?? this, outcome.error ?? null, outcome.value))
    return this
  }
}

const callbackOf = rest => rest.find(value => typeof value === 'function')

/** The original gives numbers; SQLite's integers beyond them lose digits there too. */
const plain = rows =>
  rows.map(
    row =>
      row &&
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]),
      ),
  )

const sqlite3 = { Database, verbose: () => sqlite3 }
module.exports = sqlite3
