/** `auto`: what it knows of the machine and of the job, and what it makes of it. Loaded when it is needed. */
export * from "./advisor.ts";
export * from "./calibration.ts";
export * from "./choose.ts";
export * from "./device.ts";
export * from "./planner.ts";
export * from "./probe.ts";
export * from "./work.ts";
