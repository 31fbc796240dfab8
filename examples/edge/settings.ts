/** The service's limits: all in one place, each to be overridden by a variable of the environment. */

export interface Settings {
  /** Largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** Longest sequence, in steps. On the edge this is what bounds the CPU time of a request. */
  readonly maxSteps: number;
  /** Requests in work at a time, uploads included; further ones are told to come back. */
  readonly maxConcurrent: number;
  /** From the first byte of a body to its last, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** From the whole body to the last byte of the answer, in milliseconds: also for slow readers. */
  readonly timeBudgetMs: number;
  /** Steps evaluated and sent at a time. What a request holds in memory grows with this. */
  readonly windowSteps: number;
}

/** The variables, with the defaults and the largest values that make sense. */
const variables: Readonly<
  Record<keyof Settings, { name: string; byDefault: number; most: number }>
> = {
  maxBodyBytes: { name: "MAX_BODY_BYTES", byDefault: 512 * 1024, most: 2 ** 26 },
  maxSteps: { name: "MAX_STEPS", byDefault: 6000, most: 2 ** 24 },
  maxConcurrent: { name: "MAX_CONCURRENT", byDefault: 64, most: 4096 },
  bodyTimeoutMs: { name: "BODY_TIMEOUT_MS", byDefault: 10_000, most: 600_000 },
  timeBudgetMs: { name: "TIME_BUDGET_MS", byDefault: 10_000, most: 600_000 },
  windowSteps: { name: "WINDOW_STEPS", byDefault: 128, most: 65_536 },
};

/**
 * @param environment variables by name; those of other names are not looked at.
 * @throws RangeError naming the variable that is no positive integer, or too large.
 */
export function readSettings(environment: Readonly<Record<string, unknown>> = {}): Settings {
  const settings = Object.entries(variables).map(([key, { name, byDefault, most }]) => {
    const given = environment[name];
    if (given === undefined || given === "") return [key, byDefault];
    const value = Number(given);
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new RangeError(`${name}: expected an integer from 1 to ${most}, got ${String(given)}`);
    }
    return [key, value];
  });
  return Object.fromEntries(settings) as Settings;
}
