/** The methods that the Speech tab offers: those that the command-line example compares. */
import type { EvaluateOptions } from "antler";
import { COMPARED } from "../../../vad/compared.ts";

export const SPEECH_METHODS: readonly EvaluateOptions[] = [{ method: "auto" }, ...COMPARED];

export function nameOfMethod({ method, jacobian, chunk }: EvaluateOptions): string {
  if (method === "auto") return "auto";
  const details = [jacobian && `${jacobian} Jacobian`, chunk && `chunk ${chunk}`].filter(Boolean);
  return [method, ...details].join(", ");
}
