/** Runs the fixed job with the options given as JSON, and prints the result as JSON. */
import * as antler from "../../src/index.ts";
import { evaluateEverywhere } from "./evaluate-everywhere.ts";

const [options = "{}"] = process.argv.slice(2);
console.log(JSON.stringify(await evaluateEverywhere(antler, JSON.parse(options))));
