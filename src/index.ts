/** Antler: nonlinear recurrences, evaluated in parallel over time. */
import { inlinedKernels } from "./backend/wasm/inlined.ts";
import { type CreateRuntime, createRuntimeWith } from "./create-runtime.ts";

export * from "./exports.ts";

/**
 * Makes a runtime from what this machine has.
 *
 * @throws TypeError, RangeError for options, naming the one; `BackendUnavailableError` when a backend
 * asked for by name cannot run here. With "auto", a missing backend is told in `runtime.backends`.
 */
export const createRuntime: CreateRuntime = /* @__PURE__ */ createRuntimeWith(inlinedKernels);
