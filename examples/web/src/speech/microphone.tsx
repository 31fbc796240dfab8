/** Starts and stops the microphone, and tells how long it has been listening. */
import { useEffect, useRef, useState } from "preact/hooks";
import { clock } from "../format.ts";
import { type Microphone, openMicrophone } from "./recordings.ts";

interface MicrophoneProps {
  readonly disabled: boolean;
  readonly onRecorded: (recording: Blob) => void;
}

/** A recording ends by itself after ten minutes. */
const LONGEST_SECONDS = 600;

export function MicrophoneButton({ disabled, onRecorded }: MicrophoneProps) {
  const microphone = useRef<Microphone | null>(null);
  const [opening, setOpening] = useState(false);
  const [startedAt, setStartedAt] = useState<number | null>(null);
  const [seconds, setSeconds] = useState(0);
  const [error, setError] = useState("");
  const recording = startedAt !== null;

  const start = async () => {
    setError("");
    setOpening(true);
    try {
      microphone.current = await openMicrophone();
      setSeconds(0);
      setStartedAt(performance.now());
    } catch (reason) {
      setError((reason as Error).message);
    } finally {
      setOpening(false);
    }
  };
  const stop = async () => {
    const current = microphone.current;
    microphone.current = null;
    setStartedAt(null);
    if (!current) return;
    try {
      onRecorded(await current.stop());
    } catch (reason) {
      setError((reason as Error).message);
    }
  };

  useEffect(() => {
    if (startedAt === null) return;
    const timer = setInterval(() => {
      const elapsed = (performance.now() - startedAt) / 1000;
      setSeconds(elapsed);
      if (elapsed >= LONGEST_SECONDS) stop();
    }, 200);
    return () => clearInterval(timer);
  }, [startedAt]);
  useEffect(() => () => microphone.current?.discard(), []);

  const blocked = (disabled && !recording) || opening;
  return (
    <div class="microphone">
      <button
        type="button"
        class={recording ? "recording" : undefined}
        aria-disabled={blocked}
        onClick={() => !blocked && (recording ? stop() : start())}
      >
        {recording ? "Stop the microphone" : "Use the microphone"}
      </button>
      {recording && <span class="elapsed">{clock(seconds)}</span>}
      <p role="status" class="visually-hidden">
        {recording ? "The microphone is recording." : ""}
      </p>
      <div role="alert">{error && <p class="failure">{error}</p>}</div>
    </div>
  );
}
