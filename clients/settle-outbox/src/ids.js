// Ids in the order of time, as ULIDs are: ten digits of milliseconds, sixteen that are random. The server finds what it
// remembers quickest where ids come in order, and the outbox sends in the order of ids.
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_DIGITS = 10;
const RANDOM_DIGITS = 16;

export class Ids {
  #time = 0;
  #random = [];

  /** An id after all before it, also where the clock was set back. */
  next(now = Date.now()) {
    if (now > this.#time) this.#begin(now);
    else this.#count();
    return text(this.#time) + this.#random.map((digit) => DIGITS[digit]).join('');
  }

  /** All ids from now on come after this one. */
  after(id) {
    const digits = [...id].map((digit) => DIGITS.indexOf(digit));
    if (digits.length !== TIME_DIGITS + RANDOM_DIGITS || digits.includes(-1)) return;
    const time = digits.slice(0, TIME_DIGITS).reduce((sum, digit) => sum * 32 + digit, 0);
    if (time < this.#time) return;
    this.#time = time;
    this.#random = digits.slice(TIME_DIGITS);
  }

  #begin(time) {
    this.#time = time;
    this.#random = [...randomBytes(RANDOM_DIGITS)].map((byte) => byte % 32);
  }

  /** The next number in the same millisecond, or in the next one, where there is none left in it. */
  #count() {
    for (let at = RANDOM_DIGITS - 1; at >= 0; at--) {
      if (this.#random[at] < 31) {
        this.#random[at] += 1;
        return;
      }
      this.#random[at] = 0;
    }
    this.#begin(this.#time + 1);
  }
}

function text(time) {
  let out = '';
  for (let rest = time, at = 0; at < TIME_DIGITS; at++, rest = Math.floor(rest / 32)) out = DIGITS[rest % 32] + out;
  return out;
}

/** Ids need to be unlike each other and not secret, so Node 18, which has no global `crypto`, makes do. */
function randomBytes(count) {
  const bytes = new Uint8Array(count);
  if (globalThis.crypto) return globalThis.crypto.getRandomValues(bytes);
  return bytes.map(() => Math.random() * 256);
}
