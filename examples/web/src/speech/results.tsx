/** What was found in a recording. */
import { useRef } from "preact/hooks";
import { Chart } from "../charts/chart.tsx";
import { speechOption } from "../charts/speech.ts";
import { clock, counted, milliseconds, scientific, whole } from "../format.ts";
import { DataTable, TableDetails } from "../page/table.tsx";
import { verdictOf } from "../solve/words.ts";
import type { SpeechResult } from "./tasks.ts";

interface SpeechResultsProps {
  readonly result: SpeechResult;
  /** For the audio element. */
  readonly address: string;
}

const MOST_TABLE_ROWS = 60;

export function SpeechResults({ result, address }: SpeechResultsProps) {
  const player = useRef<HTMLAudioElement>(null);
  const { segments, seconds, name, description, report, probabilities } = result;
  const spoken = segments.reduce((sum, { start, end }) => sum + end - start, 0);
  const listen = (start: number) => {
    const audio = player.current!;
    audio.currentTime = start;
    audio.play().catch(() => {});
  };
  const facts: [string, string][] = [
    ["Speech", `${spoken.toFixed(2)} s of ${seconds.toFixed(2)} s`],
    ["Segments", whole(segments.length)],
    ["Encoder", milliseconds(result.milliseconds.encoder)],
    ["LSTM", milliseconds(result.milliseconds.recurrence)],
    ["Method", report.method],
    ["Backend", report.backend],
    ["Sweeps", whole(report.iterations)],
    ["Residual", scientific(report.residual)],
  ];
  const title =
    segments.length === 0 ? "No speech found" : `${counted(segments.length, "segment")} of speech`;
  const summary =
    segments.length === 0
      ? `No window of ${name} is likely to hold speech.`
      : `Speech in ${counted(segments.length, "segment")} of ${name}, ${spoken.toFixed(1)} of ${seconds.toFixed(1)} seconds in all, the first from ${clock(segments[0].start)} on.`;
  const stride = Math.ceil(probabilities.length / MOST_TABLE_ROWS);
  return (
    <>
      <section class={`report ${verdictOf(report).kind}`} aria-label="Report">
        <h2>{title}</h2>
        <p class="muted">
          {name}: {description}
        </p>
        {/* biome-ignore lint/a11y/useMediaCaption: finding out what is said in it is not what this page does */}
        <audio ref={player} controls src={address} aria-label={`Listen to ${name}`} />
        <dl class="facts">
          {facts.map(([term, value]) => (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <p>
          {verdictOf(report).title}. {report.fallback && `${report.fallback.reason}. `}
          The time of the LSTM is{" "}
          {result.runs === 1 ? "that of one run" : `the median of ${result.runs} runs`}.
        </p>
      </section>
      <Chart
        title="Waveform, and probability of speech"
        summary={summary}
        height={300}
        data={[result]}
        option={(palette) => speechOption(palette, result)}
      >
        <TableDetails
          summary="Probabilities as a table"
          caption={`Probability of speech, every ${counted(stride, "window")}`}
          head={["Second", "Probability"]}
          rows={Array.from({ length: Math.ceil(probabilities.length / stride) }, (_, row) => [
            (row * stride * result.secondsPerWindow).toFixed(2),
            probabilities[row * stride].toFixed(3),
          ])}
        />
      </Chart>
      {segments.length > 0 && (
        <DataTable
          caption="Segments of speech, in seconds"
          textColumns={[0]}
          head={["Segment", "Start", "End", "Length", "Listen"]}
          rows={segments.map(({ start, end }, index) => [
            index + 1,
            start.toFixed(3),
            end.toFixed(3),
            (end - start).toFixed(2),
            <button
              key="listen"
              type="button"
              class="small"
              aria-label={`Listen from ${clock(start)}`}
              onClick={() => listen(start)}
            >
              Play
            </button>,
          ])}
        />
      )}
    </>
  );
}
