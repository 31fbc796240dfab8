/** The package as it is published, in a process of its own. */
import { finish, numbers, problem, stage } from "./clock.mjs";

const { inputSize, hiddenSize, steps } = problem;
const names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
const weights = Object.fromEntries(names.map((name) => [name, numbers(name)]));
const inputs = numbers("inputs");

const { createRuntime, gru } = await stage("import", () => import("../../../dist/index.js"));
const runtime = await stage("create", () => createRuntime({ backend: "wasm" }));
const cell = await stage("cell", () => gru({ inputSize, hiddenSize, weights }));
const evaluate = () => runtime.evaluate(cell, inputs);
const { states } = await stage("first evaluation", evaluate);
await stage("second evaluation", evaluate);
finish(states.subarray((steps - 1) * hiddenSize));
