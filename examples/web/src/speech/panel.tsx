/** The Speech tab: a recording in, the stretches of speech in it out. */

import modelAddress from "silero.onnx?url";
import type { BackendName, BackendStatus } from "antler";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { counted } from "../format.ts";
import { SelectField } from "../page/fields.tsx";
import { useHash } from "../page/hash.ts";
import { TaskButtons, TaskProgress, useTask } from "../page/task.tsx";
import { BackendNotes, reasons } from "../solve/form.tsx";
import { BACKEND_NAMES } from "../solve/settings.ts";
import { WorkerClient } from "../worker/client.ts";
import { nameOfMethod, SPEECH_METHODS } from "./methods.ts";
import { MicrophoneButton } from "./microphone.tsx";
import { bundledRecording, forget, type PageRecording, recordingOf } from "./recordings.ts";
import { SpeechResults } from "./results.tsx";
import type { SpeechResult, SpeechTasks } from "./tasks.ts";

const spawn = () => new Worker(new URL("./speech.worker.ts", import.meta.url), { type: "module" });

const DEFAULTS = { speechBackend: "auto", speechMethod: "0" };

const METHODS = Object.fromEntries(
  SPEECH_METHODS.map((options, index) => [String(index), nameOfMethod(options)]),
);

export function SpeechPanel() {
  const client = useMemo(() => new WorkerClient<SpeechTasks>(spawn), []);
  const [settings, change] = useHash(DEFAULTS);
  const [backends, setBackends] = useState<readonly BackendStatus[] | null>(null);
  const [recording, setRecording] = useState<PageRecording | null>(null);
  const [result, setResult] = useState<SpeechResult | null>(null);
  const [over, setOver] = useState(false);
  const task = useTask();
  const input = useRef<HTMLInputElement>(null);
  const running = task.state.status === "running";
  const method = settings.speechMethod in METHODS ? settings.speechMethod : "0";
  const backend = (settings.speechBackend in BACKEND_NAMES ? settings.speechBackend : "auto") as
    | BackendName
    | "auto";

  useEffect(() => {
    client.run("backends", null).then(setBackends, () => setBackends([]));
  }, [client]);

  /** Looks for speech in what `open` gives, or in the recording at hand. */
  const find = (open?: () => Promise<PageRecording>) => {
    task.start(async (signal, tell) => {
      tell("Opening the recording");
      let current = recording;
      if (open || !current) {
        const next = await (open ?? bundledRecording)();
        forget(recording);
        current = next;
        setRecording(next);
        setResult(null);
      }
      const { id, name, content } = current;
      const asked = { id, name, content, backend, method: Number(method), model: absolute() };
      const found = await client.run("find", asked, {
        signal,
        onProgress: ({ text, done }) => tell(text, done),
      });
      setResult(found);
      return `Found ${counted(found.segments.length, "segment")} of speech.`;
    });
  };
  const findIn = (file: File | undefined) => {
    if (file && !running) find(() => recordingOf(file, file.name));
  };

  return (
    <div class="columns">
      <form class="settings" aria-label="Settings" onSubmit={(event) => event.preventDefault()}>
        <fieldset>
          <legend>Recording</legend>
          {/* biome-ignore lint/a11y/noStaticElementInteractions: a file can be picked by the button within */}
          <div
            class={over ? "drop over" : "drop"}
            onDragOver={(event) => {
              event.preventDefault();
              setOver(true);
            }}
            onDragLeave={() => setOver(false)}
            onDrop={(event) => {
              event.preventDefault();
              setOver(false);
              findIn(event.dataTransfer?.files[0]);
            }}
          >
            <p>Drop a recording here, or</p>
            <button type="button" onClick={() => input.current?.click()} aria-disabled={running}>
              Choose a file
            </button>
            <input
              ref={input}
              type="file"
              accept="audio/*,.wav"
              class="visually-hidden"
              tabIndex={-1}
              aria-label="Recording to look for speech in"
              onChange={(event) => {
                findIn(event.currentTarget.files?.[0]);
                event.currentTarget.value = "";
              }}
            />
          </div>
          <MicrophoneButton
            disabled={running}
            onRecorded={(blob) => find(() => recordingOf(blob, "what the microphone heard"))}
          />
          <button
            type="button"
            aria-disabled={running}
            onClick={() => !running && find(bundledRecording)}
          >
            Use the bundled recording
          </button>
          <p class="hint">A recording stays on this device.</p>
        </fieldset>
        <fieldset>
          <legend>Method</legend>
          <SelectField
            label="Method"
            value={method}
            options={METHODS}
            onChange={(speechMethod) => change({ speechMethod })}
          />
          <SelectField
            label="Runs on"
            value={backend}
            options={BACKEND_NAMES}
            disabled={reasons(backends)}
            onChange={(speechBackend) => change({ speechBackend })}
          />
          <BackendNotes backends={backends} />
        </fieldset>
        <div class="action">
          <TaskButtons task={task} label="Find speech" onStart={() => find()} />
          <TaskProgress task={task} name="Finding speech" />
        </div>
      </form>
      <div class="results">
        {result && recording ? (
          <SpeechResults result={result} address={recording.address} />
        ) : (
          <EmptySpeech />
        )}
        <Credits />
      </div>
    </div>
  );
}

/** A worker resolves addresses against its own file. */
function absolute(): string {
  return new URL(modelAddress, location.href).href;
}

function EmptySpeech() {
  return (
    <section class="empty" aria-label="Nothing has been listened to yet">
      <h2>Nothing has been listened to yet</h2>
      <p>
        The Silero VAD hears a recording in windows of 32 ms: a convolutional encoder looks at each
        of them, and an LSTM of 128 units carries on what it heard. The encoder never sees the
        LSTM’s state, so that a single recurrence is left, and Antler solves it by the method that
        you choose. Press <strong>Find speech</strong> to start with the bundled recording.
      </p>
    </section>
  );
}

function Credits() {
  return (
    <section class="credits" aria-label="Credits">
      <p>
        Bundled recording: from the Asterisk core sounds, voice Allison Smith, © 2003–2010,{" "}
        <a href="https://creativecommons.org/licenses/by-sa/3.0/">CC-BY-SA-3.0</a>; seven prompts
        joined, with pauses of faint noise between them, under the same licence. Model:{" "}
        <a href="https://github.com/snakers4/silero-vad">Silero VAD</a>, © 2020–present Silero Team,
        MIT. Encoder: ONNX Runtime, © Microsoft Corporation, MIT.
      </p>
    </section>
  );
}
