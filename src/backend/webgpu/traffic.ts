/** What passes between the host and the device: the costs that a clock alone does not explain. */

export interface TrafficCounts {
  /** Command buffers handed to the device. */
  submits: number;
  dispatches: number;
  bytesUploaded: number;
  bytesDownloaded: number;
  /** Buffers mapped to be read; each waits for the device. */
  readbacks: number;
  buffersCreated: number;
  pipelinesCompiled: number;
}

/** Counters that only ever grow. */
export class Traffic implements TrafficCounts {
  submits = 0;
  dispatches = 0;
  bytesUploaded = 0;
  bytesDownloaded = 0;
  readbacks = 0;
  buffersCreated = 0;
  pipelinesCompiled = 0;

  snapshot(): TrafficCounts {
    return { ...this };
  }

  /** What has been added since a snapshot. */
  since(before: TrafficCounts): TrafficCounts {
    const added = this.snapshot();
    for (const name of Object.keys(added) as (keyof TrafficCounts)[]) added[name] -= before[name];
    return added;
  }
}
