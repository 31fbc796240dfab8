/** The conformance suite: whether this machine's backends compute what they should, and say so. */
export { formatConformance } from "./format.ts";
export { conformanceCells } from "./problems.ts";
export { runConformance } from "./run.ts";
export type { ConformanceOptions, ConformanceReport, ConformanceResult } from "./types.ts";
export { CONFORMANCE_VERSION } from "./version.ts";
