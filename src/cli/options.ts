/** Parsers of option values: each names its option, what it expected and what it got. */
import { Option } from "commander";
import { methodNames } from "../solve/method.ts";
import type { BackendName, MethodName } from "../types.ts";
import { UsageError } from "./failure.ts";

export const backendNames: readonly BackendName[] = ["webgpu", "wasm", "reference"];

type Parser<Value> = (text: string) => Value;

function wrong(option: string, expected: string, text: string): UsageError {
  return new UsageError(`${option}: expected ${expected}, got "${text}"`);
}

/** Decimal digits only: no sign, no exponent. */
export function integer(option: string, least: number, most = Infinity): Parser<number> {
  const kind = least > 0 ? "a positive integer" : "a non-negative integer";
  const expected = most < Infinity ? `an integer from ${least} to ${most}` : kind;
  return (text) => {
    const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    const isIn = value >= least && value <= most;
    if (!Number.isSafeInteger(value) || !isIn) throw wrong(option, expected, text);
    return value;
  };
}

export function number(option: string, { positive }: { positive: boolean }): Parser<number> {
  const expected = positive ? "a positive number" : "a number of at least 0";
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    const isIn = positive ? value > 0 : value >= 0;
    if (!Number.isFinite(value) || !isIn) throw wrong(option, expected, text);
    return value;
  };
}

export function oneOf<const Name extends string>(
  option: string,
  names: readonly Name[],
): Parser<Name> {
  return (text) => {
    if (!names.includes(text as Name)) throw wrong(option, `one of ${names.join(", ")}`, text);
    return text as Name;
  };
}

/** Values between commas; the option may also be given several times. */
export function listOf<Value>(option: string, parse: Parser<Value>) {
  return (text: string, previous: readonly Value[] | undefined): Value[] => {
    const items = text.split(",").map((item) => item.trim());
    if (items.includes("")) throw wrong(option, "values with commas between them", text);
    return [...(previous ?? []), ...items.map(parse)];
  };
}

export const backendList = listOf("--backend", oneOf("--backend", backendNames));
export const methodList = listOf<MethodName>("--method", oneOf("--method", methodNames));

export const threadsOption = (): Option =>
  new Option(
    "--threads <n>",
    "most threads on WebAssembly (default: the machine's cores, up to 8)",
  ).argParser(integer("--threads", 1));

/** For help texts. */
export const namesOf = (names: readonly string[]): string => names.join(", ");
