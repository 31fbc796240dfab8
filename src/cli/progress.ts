/** A progress bar on stderr, where that is a terminal; elsewhere nothing. */
import { SingleBar } from "cli-progress";

export interface Progress {
  /** @param text what is being done, in a few words. */
  update(done: number, total: number, text: string): void;
  /** Takes the bar away, so that results can be printed. May be called more than once. */
  stop(): void;
}

const FRAMES_A_SECOND = 10;
const BAR_WIDTH = 24;

export function createProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  if (stream.isTTY !== true) return { update() {}, stop() {} };
  const bar = new SingleBar({
    stream,
    format: "{bar} {percentage}%  {text}",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: BAR_WIDTH,
    fps: FRAMES_A_SECOND,
    hideCursor: true,
    clearOnComplete: true,
    // The program stops it by itself, and says how the run ended.
    gracefulExit: false,
  });
  let running = false;
  return {
    update(done, total, text) {
      const size = Math.max(total, 1);
      if (!running) bar.start(size, Math.min(done, size), { text });
      running = true;
      bar.setTotal(size);
      bar.update(Math.min(done, size), { text });
    },
    stop() {
      if (running) bar.stop();
      running = false;
    },
  };
}
