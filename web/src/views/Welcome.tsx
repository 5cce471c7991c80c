/** The page of a broker without a project: the first three steps, ticked off as they happen. */

import { useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import type { Overview } from '../data/model';
import { Code } from '../parts/Code';
import { Card } from '../parts/Bits';
import { Icon } from '../parts/Icon';
import { Records, busiest } from '../parts/Records';
import { Troubles } from '../parts/Troubles';
import { StatusLine, Topics } from './Overview';

export function Welcome({ all }: { all: Overview }) {
  const own = all.topics.filter((topic) => !topic.internal);
  const alive = own.some((topic) => topic.records_kept > 0);
  const busy = busiest(all.topics);
  return (
    <div class="view welcome">
      <div class="view-head">
        <h1>{alive ? 'Records are coming in.' : 'Your broker is running.'}</h1>
        <StatusLine all={all} />
      </div>
      <Troubles all={all} />
      <div class="welcome-grid">
        <ol class="steps">
          <Step n={1} done={alive} title="Send some records">
            <p>Any Kafka client will do, unchanged. The topic makes itself.</p>
            <Snippets address={all.kafka_address} />
          </Step>
          <Step n={2} done={false} title="Make a project">
            <p>A folder with a pipeline in Spark's SQL to start from.</p>
            <Code label="command" text="millstream init my-project" />
          </Step>
          <Step n={3} done={false} title="Run it, and look here">
            <p>End this one with Ctrl-C first, both want the same ports. Tables, charts and files appear as the first window closes.</p>
            <Code label="command" text="millstream up my-project" />
          </Step>
        </ol>
        <div class="welcome-live">
          {own.length === 0 ? (
            <Card title="Topics">
              <div class="hush">
                <svg viewBox="0 0 200 60" aria-hidden="true">
                  <path d="M0 20c25-14 50-14 75 0s50 14 75 0 50-14 75 0" />
                  <path d="M0 34c25-14 50-14 75 0s50 14 75 0 50-14 75 0" />
                  <path d="M0 48c25-14 50-14 75 0s50 14 75 0 50-14 75 0" />
                </svg>
                <p>Waiting for the first topic. It shows up here the moment a record arrives.</p>
              </div>
            </Card>
          ) : (
            <Topics topics={all.topics} />
          )}
          {busy && alive && (
            <Card title="Newest records" aside={busy.name}>
              <Records topic={busy} limit={9} compact />
            </Card>
          )}
        </div>
      </div>
    </div>
  );
}

function Step({ n, done, title, children }: { n: number; done: boolean; title: string; children: ComponentChildren }) {
  return (
    <li class={done ? 'done' : ''}>
      <span class="step-mark" aria-hidden="true">
        {done ? <Icon name="check" /> : n}
      </span>
      <h2>
        {title}
        {done && <small> done</small>}
      </h2>
      {children}
    </li>
  );
}

function Snippets({ address }: { address: string }) {
  const snippets: [string, string, string][] = [
    ['kcat', 'a shell', `for i in $(seq 1 100); do\n  echo "{\\"n\\": $i, \\"at\\": \\"$(date -u +%FT%TZ)\\"}"; sleep 0.2\ndone | kcat -b ${address} -t hello -P`],
    [
      'kafka-python',
      'Python',
      `# pip install kafka-python\nimport json, time\nfrom kafka import KafkaProducer\n\nproducer = KafkaProducer(bootstrap_servers="${address}",\n                         value_serializer=lambda v: json.dumps(v).encode())\nfor n in range(100):\n    producer.send("hello", {"n": n, "at": time.time()})\n    producer.flush()\n    time.sleep(0.2)`,
    ],
    [
      'Kafka tools',
      "Kafka's own tools",
      `seq 1 100 | kafka-console-producer.sh \\\n  --bootstrap-server ${address} --topic hello`,
    ],
  ];
  const [chosen, setChosen] = useState(0);
  const onKey = (event: KeyboardEvent & { currentTarget: HTMLElement }) => {
    const next = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1 }[event.key];
    if (next === undefined) return;
    const at = (next + snippets.length) % snippets.length;
    setChosen(at);
    event.currentTarget.querySelectorAll<HTMLElement>('[role=tab]')[at]?.focus();
  };
  return (
    <div class="snippets">
      <div role="tablist" aria-label="Clients" onKeyDown={onKey}>
        {snippets.map(([name], i) => (
          <button key={name} type="button" role="tab" aria-selected={i === chosen} tabIndex={i === chosen ? 0 : -1} onClick={() => setChosen(i)}>
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel">
        <Code label={`lines for ${snippets[chosen]![1]}`} text={snippets[chosen]![2]} />
      </div>
    </div>
  );
}
