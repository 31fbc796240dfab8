/** A worker for tests of the pool: it answers, fails and ends in every way. Bundled by `buildPoolWorker`. */
import { serve } from "../../src/backend/wasm/threads/serve.ts";

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Neither a function's name nor a class can be sent. */
class OwnError extends Error {
  override name = "OwnError";
}

serve(async (module) => {
  const { exports } = await WebAssembly.instantiate(module);
  const { heapBase, execute } = exports as Record<string, (...args: number[]) => number>;
  let sent = new Float32Array(0);
  return {
    heapBase: () => ({ reply: { heapBase: heapBase!() } }),
    trap: () => {
      execute!(2 ** 31 - 16);
      return { reply: {} };
    },
    async after({ ms, value }: { readonly ms: number; readonly value: number }) {
      await later(ms);
      return { reply: { value } };
    },
    double({ values }: { readonly values: Float32Array<ArrayBuffer> }) {
      sent = values.map((value) => 2 * value);
      return { reply: { values: sent }, transfer: [sent.buffer] };
    },
    /** What is left of the array that was sent last. */
    left: () => ({ reply: { value: sent.length } }),
    fill({ shared }: { readonly shared: SharedArrayBuffer }) {
      new Float32Array(shared).fill(7);
      return { reply: {} };
    },
    fail({ what }: { readonly what: string }) {
      const errors: Record<string, unknown> = {
        RangeError: new RangeError("too far"),
        TypeError: new TypeError("of another kind"),
        OwnError: new OwnError("our own"),
        "a string": "not an error",
      };
      throw errors[what];
    },
    unsendable: () => ({ reply: { code: () => {} } }),
    /** An error outside of any call. */
    async crash() {
      setTimeout(() => {
        throw new Error("out of the blue");
      });
      await new Promise(() => {});
      return { reply: {} };
    },
    exit() {
      process.exit(3);
    },
    hang: () => new Promise<never>(() => {}),
    /** At work for ever, in many runs of the kernels. */
    spin() {
      for (;;) heapBase!();
    },
  };
});
