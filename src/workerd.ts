/**
 * The entry for Cloudflare Workers and other hosts of workerd, which refuse to compile bytes at run
 * time: the kernels are a module of their own, compiled when the worker is deployed.
 */

import { type CreateRuntime, createRuntimeWith } from "./create-runtime.ts";
import kernel from "./kernel.wasm";

export * from "./exports.ts";

/** As in `index.ts`, but always with the plain SIMD kernels. */
export const createRuntime: CreateRuntime = /* @__PURE__ */ createRuntimeWith(async () => kernel);
