/** The pipeline as a picture: boxes one can step through, and rows that drift along the lines at a pace that tells their rate. */

import { useMemo } from 'preact/hooks';
import { bytes, count, counted, eventTimeShort, perSecond, short } from '../data/format';
import { rate } from '../data/live';
import type { Overview, Step } from '../data/model';
import { href } from '../data/route';
import { still } from '../data/settings';
import { Icon, iconOfStep, type IconName } from '../parts/Icon';
import { useWidth } from './hooks';
import { CARD_HEAD, graphOf, heightOf, layout, rowHeightOf, type Frame, type GraphNode, type Layout, type Placed } from './layout';

export function GraphView({ overview, flow }: { overview: Overview; flow?: string }) {
  const [ref, width] = useWidth<HTMLDivElement>();
  // A phone has room for one flow after the other.
  const split = width > 0 && width < 640 && flow === undefined && overview.flows.length > 1;
  return (
    <div ref={ref}>
      {split && overview.flows.map((one) => <Picture key={one.name} overview={overview} flow={one.name} width={width} />)}
      {!split && width > 0 && <Picture overview={overview} flow={flow} width={width} />}
    </div>
  );
}

function Picture({ overview, flow, width }: { overview: Overview; flow?: string; width: number }) {
  const graph = graphOf(overview, flow);
  // The picture is laid out anew only when boxes come, go or grow, not each second.
  const form = `${width}|${graph.nodes.map((node) => `${node.id}:${heightOf(node)}:${rowHeightOf(node)}`).join()}|${graph.edges.map((e) => `${e.from}>${e.to}`).join()}`;
  const place: Layout = useMemo(() => layout(graph, width), [form]);
  const carded = new Set(place.frames.map((frame) => frame.flow));

  const { scale } = place;
  return (
    <div class="graph" role="group" aria-label={`Pipeline${flow ? ` ${flow}` : ''}: sources, steps, tables and files`}>
      <div style={{ width: `${place.width * scale}px`, height: `${place.height * scale}px` }}>
        <div class="graph-canvas" style={{ width: `${place.width}px`, height: `${place.height}px`, transform: scale < 1 ? `scale(${scale})` : undefined }}>
          {place.frames.map((frame) => (
            <FlowCard key={frame.flow} frame={frame} overview={overview} />
          ))}
          <svg width={place.width} height={place.height} aria-hidden="true">
            {graph.edges.map((edge) => {
              const [from, to] = [place.placed.get(edge.from), place.placed.get(edge.to)];
              if (!from || !to) return null;
              return <Edge key={`${edge.from}>${edge.to}`} {...curve(from, to, place.shape, carded)} perSecond={rate(edge.series)} />;
            })}
          </svg>
          {graph.nodes.map((node) => {
            const box = place.placed.get(node.id);
            if (!box) return null;
            if (node.kind === 'step' && carded.has(node.flow ?? '')) return <StepRow key={node.id} box={box} step={node.step} flow={node.flow ?? ''} />;
            return <Box key={node.id} box={box} node={node} overview={overview} />;
          })}
        </div>
      </div>
    </div>
  );
}

/** Where a step's icon is inside a card. */
const RAIL_X = 20;
const RAIL_Y = 14;

interface Way {
  path: string;
  /** About, in px. */
  length: number;
}

function curve(from: Placed, to: Placed, shape: Layout['shape'], carded: ReadonlySet<string>): Way {
  const inCard = (box: Placed) => box.node.kind === 'step' && carded.has(box.node.flow ?? '');
  if (inCard(from) && inCard(to) && from.node.flow === to.node.flow) {
    const x = from.x + RAIL_X;
    const [y0, y1] = [from.y + RAIL_Y + 10, to.y + RAIL_Y - 10];
    return { path: `M${x},${y0}L${x},${y1}`, length: y1 - y0 };
  }
  if (shape === 'tall') {
    // Into a card from above, out of it from below: a step's own place is shown by the rail.
    const [x0, y0] = [from.x + from.width / 2, from.y + from.height + (inCard(from) ? 8 : 0)];
    const [x1, y1] = [to.x + to.width / 2, to.y - (inCard(to) ? CARD_HEAD : 0)];
    const bend = (y1 - y0) / 2;
    return { path: `M${x0},${y0}C${x0},${y0 + bend},${x1},${y1 - bend},${x1},${y1}`, length: Math.hypot(x1 - x0, y1 - y0) };
  }
  const [x0, y0] = [from.x + from.width, from.y + (inCard(from) ? RAIL_Y : from.height / 2)];
  const [x1, y1] = [to.x, to.y + (inCard(to) ? RAIL_Y : to.height / 2)];
  const bend = Math.max(14, (x1 - x0) / 2);
  return { path: `M${x0},${y0}C${x0 + bend},${y0},${x1 - bend},${y1},${x1},${y1}`, length: Math.hypot(x1 - x0, y1 - y0) * 1.08 };
}

function FlowCard({ frame, overview }: { frame: Frame; overview: Overview }) {
  const flow = overview.flows.find((one) => one.name === frame.flow);
  const waits = flow?.status === 'waiting' || flow?.status === 'failed';
  const style = { left: `${frame.x}px`, top: `${frame.y}px`, width: `${frame.width}px`, height: `${frame.height}px` };
  return (
    <div class={`flow-card ${waits ? 'waits' : ''}`} style={style}>
      <a class="flow-head" href={href('flows', frame.flow)} title={flow?.waiting ?? `${flow?.file}:${flow?.line}`}>
        <b>{frame.flow}</b>
        {waits && <span class={`badge ${flow?.status}`}>{flow?.status}</span>}
        {!waits && flow?.watermark_wall_ms != null && (
          <span class="flow-mark" title="Watermark">
            <Icon name="clock" />
            {eventTimeShort(flow.watermark_wall_ms)}
          </span>
        )}
      </a>
    </div>
  );
}

function StepRow({ box, step, flow }: { box: Placed; step: Step; flow: string }) {
  const rows = rate(`step.in/${flow}/${step.id}`);
  return (
    <a
      class="step-row"
      style={{ left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px` }}
      href={href('flows', flow)}
      title={`${step.kind}: ${step.label}\n${count(step.rows_in)} rows in, ${count(step.rows_out)} out since the start`}
      aria-label={`${step.kind}, ${step.label}, ${perSecond(rows)} rows a second`}
    >
      <span class="step-line">
        <Icon name={iconOfStep(step.kind)} />
        <b>{step.label}</b>
        <Rate rows={rows} />
      </span>
      {box.height > 30 && (
        <span class="step-facts">
          {step.state_rows > 0 && (
            <span title="State">
              {counted(step.state_rows, 'group')}, {bytes(step.state_bytes)}
            </span>
          )}
          {step.late > 0 && <em class="late">{short(step.late)} late</em>}
          {step.dead > 0 && <em class="dead">{short(step.dead)} dead</em>}
        </span>
      )}
    </a>
  );
}

function Rate({ rows }: { rows: number }) {
  return (
    <span class={`box-rate ${rows > 0 ? '' : 'rest'}`}>
      {perSecond(rows)}
      <small>/s</small>
    </span>
  );
}

/** Drops keep the pace of their order of magnitude, so that a rate that wavers does not start them anew. */
const PX_PER_SECOND = [0, 11, 15, 20, 26, 33, 42];
const PX_BETWEEN = [1, 90, 70, 52, 40, 32, 26];

function Edge({ path, length, perSecond: rows }: Way & { perSecond: number }) {
  const pace = rows <= 0 ? 0 : Math.max(1, Math.min(6, Math.floor(Math.log10(rows) + 2)));
  const seconds = pace === 0 ? 0 : Math.max(0.9, length / PX_PER_SECOND[pace]!);
  const drops = pace === 0 ? 0 : Math.max(1, Math.min(9, Math.round(length / PX_BETWEEN[pace]!)));
  return (
    <g class={`edge ${pace > 0 ? 'moving' : ''}`}>
      <path d={path} />
      {!still.value &&
        Array.from({ length: drops }, (_, i) => (
          <circle key={`${pace}-${drops}-${i}`} r="2.4">
            <animateMotion dur={`${seconds.toFixed(2)}s`} begin={`${((-i * seconds) / drops).toFixed(2)}s`} repeatCount="indefinite" {...{ path }} />
          </circle>
        ))}
    </g>
  );
}

function Box({ box, node, overview }: { box: Placed; node: GraphNode; overview: Overview }) {
  const style = { left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px` };
  if (node.kind === 'topic') {
    const per = rate(`topic.records/${node.name}`);
    return (
      <a class="box topic" style={style} href={href('topics', node.name)}>
        <Head icon={node.topic?.dead_letters ? 'alert' : 'topic'} kind="Topic" rate={per} />
        <Name text={node.name} />
      </a>
    );
  }
  if (node.kind === 'file') {
    return (
      <span class="box file" style={style}>
        <Head icon="file" kind="File" />
        <Name text={node.name} />
      </span>
    );
  }
  if (node.kind === 'table') {
    return (
      <a class="box table" style={style} href={href('tables', node.table.name)}>
        <Head icon="table" kind={counted(node.table.rows_total, 'row')} rate={rate(`table.rows/${node.table.name}`)} />
        <Name text={node.table.name} />
      </a>
    );
  }
  if (node.kind === 'folder') {
    return (
      <span class={`box folder ${node.table.waiting ? 'waits' : ''}`} style={style} title={[node.table.folder, node.table.waiting].filter(Boolean).join('\n')}>
        <Head icon="folder" kind={node.table.format} after={`${count(node.table.files)} ${node.table.files === 1 ? 'file' : 'files'}`} />
        <Name text={tail(node.table.folder ?? '')} />
      </span>
    );
  }
  const { step } = node;
  const flow = overview.flows.find((one) => one.name === node.flow);
  const waits = flow?.status === 'waiting' || flow?.status === 'failed';
  return (
    <a
      class={`box step ${waits ? 'waits' : ''}`}
      style={style}
      href={href('flows', node.flow)}
      title={waits ? (flow?.waiting ?? '') : `${step.label}: ${count(step.rows_in)} rows in, ${count(step.rows_out)} out since the start`}
    >
      <Head icon={iconOfStep(step.kind)} kind={step.kind} rate={rate(`step.in/${node.flow}/${step.id}`)} />
      <Name text={step.label} />
      {step.state_rows > 0 && <Fact icon="state" name="State" value={`${counted(step.state_rows, 'row')}, ${bytes(step.state_bytes)}`} />}
      {step.watermark_wall_ms !== null && <Fact icon="clock" name="Watermark" value={eventTimeShort(step.watermark_wall_ms)} />}
      {(step.late > 0 || step.dead > 0) && (
        <span class="fact">
          {step.late > 0 && <em class="late">{short(step.late)} late</em>}
          {step.dead > 0 && <em class="dead">{short(step.dead)} dead</em>}
        </span>
      )}
    </a>
  );
}

function Head({ icon, kind, rate: rows, after }: { icon: IconName; kind: string; rate?: number; after?: string }) {
  return (
    <span class="box-head">
      <Icon name={icon} />
      <span class="kind">{kind}</span>
      {rows !== undefined && <Rate rows={rows} />}
      {after && <span class="box-after">{after}</span>}
    </span>
  );
}

function Name({ text }: { text: string }) {
  return (
    <span class="box-name" title={text}>
      <b>{text}</b>
    </span>
  );
}

/** The last two folders of a path; the whole one is in the title of its box. */
function tail(path: string): string {
  return path.split('/').slice(-2).join('/');
}

function Fact({ icon, name, value }: { icon: IconName; name: string; value: string }) {
  return (
    <span class="fact" title={name}>
      <Icon name={icon} />
      <span aria-label={`${name} ${value}`}>{value}</span>
    </span>
  );
}
