/** The program of a worker thread. It is built by itself: no cell, no compiler of programs. */
import type { KernelExports } from "../load.ts";
import { makeHandlers } from "./handlers.ts";
import { serve } from "./serve.ts";

serve(async (module) => {
  const { exports } = await WebAssembly.instantiate(module);
  return makeHandlers(exports as unknown as KernelExports);
});
