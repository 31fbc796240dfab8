/** Memory that all threads see, lent for a piece at a time: fresh pages cost more than using them. */

/** Most bytes that are kept when nothing is lent. */
const KEPT_BYTES = 64e6;
/** Room is lent where no more than so many times as much is asked for. */
const LARGEST_FIT = 2;

export class SharedMemory {
  /** What has been given back, the last first. */
  #free: SharedArrayBuffer[] = [];

  /** Room for so many numbers; to be given back when no thread works on it any more. */
  lend(numbers: number): Float32Array<SharedArrayBuffer> {
    const bytes = numbers * 4;
    const fits = ({ byteLength }: SharedArrayBuffer) =>
      byteLength >= bytes && byteLength <= LARGEST_FIT * bytes;
    const found = this.#free.find(fits);
    this.#free = this.#free.filter((buffer) => buffer !== found);
    return new Float32Array(found ?? new SharedArrayBuffer(bytes), 0, numbers);
  }

  giveBack({ buffer }: Float32Array<SharedArrayBuffer>): void {
    let bytes = 0;
    this.#free = [buffer, ...this.#free].filter(({ byteLength }) => {
      bytes += byteLength;
      return bytes <= KEPT_BYTES;
    });
  }
}
