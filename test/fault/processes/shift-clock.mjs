// The clock of this process is wrong by so many milliseconds. Its monotonic clock and its timers are right.
const offset = Number(process.env.HOLDFAST_TEST_CLOCK_OFFSET)
const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [RealDate.now() + offset] : given))
  }
  static now() {
    return RealDate.now() + offset
  }
}
