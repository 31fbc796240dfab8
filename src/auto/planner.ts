/** Plans for a runtime: what its backends are asked to do where the caller has left that to us. */
import type { DeviceBackend, HostBackend } from "../backend/backend.ts";
import { type Plan, resolvePlan } from "../solve/choice.ts";
import type { Pacer } from "../solve/pacing.ts";
import type { BackendName } from "../types.ts";
import type { Job } from "../validate.ts";
import { Advisor } from "./advisor.ts";
import type { Calibration } from "./calibration.ts";
import type { Choice } from "./choose.ts";

export { checkCalibration } from "./calibration.ts";

/**
 * What takes more than so many times the predicted sweeps, and so many more, is given up, and finished in the
 * order of time.
 */
const PATIENCE = 3;
const MORE_SWEEPS = 8;

export interface BackendPlan extends Plan {
  readonly backend: BackendName;
  /** To be told how many milliseconds it has taken. */
  readonly learn?: (milliseconds: number) => void;
}

export class Planner {
  readonly #host: HostBackend;
  readonly #advisor: Advisor;

  /** @param calibration if the machine has been measured before. */
  constructor(host: HostBackend, calibration: Calibration | undefined) {
    this.#host = host;
    this.#advisor = new Advisor(host, {
      threads: host.pool?.threads ?? 1,
      calibration,
      get ping() {
        return host.pool?.ping;
      },
    });
  }

  calibration(): Promise<Calibration> {
    return this.#advisor.calibration();
  }

  /** @param device a GPU that may do it, if there is one. */
  async plan(job: Job, device: DeviceBackend | null, pacer: Pacer): Promise<BackendPlan> {
    const { pool } = this.#host;
    const running = pool?.ping !== undefined;
    const gpu = device?.adapter?.software ? null : device;
    const choice = await this.#advisor.advise(job, { running, gpu }, pacer);
    // The next job may use them.
    if (choice.wantsThreads && !running) pool?.start();
    const learn = (milliseconds: number) => this.#advisor.learn(job, choice.best, milliseconds);
    return { ...planOf(choice, job), learn };
  }
}

function planOf({ best, words }: Choice, job: Job): BackendPlan {
  const { backend, method, jacobian, chunk, threads, sweeps } = best;
  const most = Math.min(job.maxIterations, PATIENCE * sweeps + MORE_SWEEPS);
  const asked = { ...job, chunk, threads, ...(sweeps > 0 && { maxIterations: most }) };
  return { ...resolvePlan(asked, method, jacobian, words), backend };
}
