/** Places the pipeline: topics, steps, tables and files as nodes in layers from left to right. Pure. */

import type { Overview, Step, Table, Topic } from '../data/model';

export type GraphNode = { id: string; flow?: string } & (
  | { kind: 'topic'; name: string; topic: Topic | null }
  | { kind: 'file'; name: string }
  | { kind: 'step'; step: Step }
  | { kind: 'table'; table: Table }
  | { kind: 'folder'; table: Table }
);

export interface GraphEdge {
  from: string;
  to: string;
  /** Series whose rate moves along it. */
  series: string;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

/** The graph of a project; with `flow`, of that flow alone. */
export function graphOf(overview: Overview, flow?: string): Graph {
  const nodes = new Map<string, GraphNode>();
  const edges: GraphEdge[] = [];
  const flows = flow === undefined ? overview.flows : overview.flows.filter((one) => one.name === flow);
  const tables = overview.tables.filter((table) => flow === undefined || flows.some((one) => one.target === table.name));
  const input = (id: string) => {
    if (nodes.has(id)) return;
    const [kind, name] = [id.slice(0, id.indexOf(':')), id.slice(id.indexOf(':') + 1)];
    const table = overview.tables.find((one) => one.name === name);
    if (kind === 'table' && table) nodes.set(id, { id, kind: 'table', table });
    else if (kind === 'topic') nodes.set(id, { id, kind: 'topic', name, topic: overview.topics.find((one) => one.name === name) ?? null });
    else nodes.set(id, { id, kind: 'file', name });
  };
  for (const table of tables) nodes.set(`table:${table.name}`, { id: `table:${table.name}`, kind: 'table', table });
  for (const one of flows) {
    const own = new Set(one.steps.map((step) => step.id));
    const heard = new Set<string>();
    for (const step of one.steps) {
      const id = `${one.name}/${step.id}`;
      nodes.set(id, { id, kind: 'step', step, flow: one.name });
      for (const from of step.inputs) {
        const inside = own.has(from);
        if (inside) heard.add(from);
        else input(from);
        edges.push({
          from: inside ? `${one.name}/${from}` : from,
          to: id,
          series: inside ? `step.out/${one.name}/${from}` : `step.in/${one.name}/${step.id}`,
        });
      }
    }
    const target = `table:${one.target}`;
    if (!nodes.has(target)) continue;
    for (const step of one.steps) {
      if (!heard.has(step.id)) edges.push({ from: `${one.name}/${step.id}`, to: target, series: `step.out/${one.name}/${step.id}` });
    }
  }
  for (const table of tables) {
    const from = `table:${table.name}`;
    const series = `table.rows/${table.name}`;
    // A view is computed from these.
    for (const id of table.reads) {
      input(id);
      edges.push({ from: id, to: from, series });
    }
    if (table.folder !== null) {
      nodes.set(`folder:${table.name}`, { id: `folder:${table.name}`, kind: 'folder', table });
      edges.push({ from, to: `folder:${table.name}`, series });
    }
    if (table.topic !== null) {
      input(`topic:${table.topic}`);
      edges.push({ from, to: `topic:${table.topic}`, series });
    }
  }
  return { nodes: [...nodes.values()], edges };
}

export interface Placed {
  node: GraphNode;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A card that holds the steps of a flow, one below the other. */
export interface Frame {
  flow: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  placed: Map<string, Placed>;
  frames: Frame[];
  width: number;
  height: number;
  /** Less than 1 where the picture is drawn a little smaller, to fit. */
  scale: number;
  /** `wide`: every step has a column. `cards`: the steps of a flow share a card. `tall`: cards from top to bottom, for a phone. */
  shape: 'wide' | 'cards' | 'tall';
}

/** Height of a node's box, px. */
export function heightOf(node: GraphNode): number {
  if (node.kind !== 'step') return 60;
  const { step } = node;
  const more = Number(step.state_rows > 0) + Number(step.watermark_wall_ms !== null) + Number(step.late > 0 || step.dead > 0);
  return 60 + more * 20;
}

/** Height of a step inside a card, px. */
export function rowHeightOf(node: GraphNode): number {
  if (node.kind !== 'step') return heightOf(node);
  const { step } = node;
  return step.state_rows > 0 || step.late > 0 || step.dead > 0 ? 46 : 28;
}

const WIDTH_MIN = 144;
const WIDTH_MAX = 244;
const CARD_MIN = 236;
const CARD_MAX = 320;
const GAP_MIN = 34;
const GAP_MAX = 104;
const GAP_Y = 18;
/** Head and foot of a card. */
export const CARD_HEAD = 36;
const CARD_FOOT = 8;

/** What is moved about as one: a node, or the card of a flow. */
interface Block {
  id: string;
  card: boolean;
  nodes: GraphNode[];
  depth: number;
  height: number;
  y: number;
}

/** Drawn smaller than this, a picture is scrolled rather than read. */
const SCALE_MIN = 0.84;

/** Lays the graph out into `available` px of width. */
export function layout(graph: Graph, available: number): Layout {
  if (available < 640) return tall(blocksOf(graph, true), available);
  const wide = blocksOf(graph, false);
  const columns = Math.max(...wide.map((block) => block.depth), 0) + 1;
  if (columns * WIDTH_MIN + (columns - 1) * GAP_MIN + 4 <= available) return place(graph, wide, available, 'wide');
  const cards = blocksOf(graph, true);
  const natural = place(graph, cards, available, 'cards');
  if (natural.width <= available) return natural;
  const scale = Math.max(SCALE_MIN, available / natural.width);
  return { ...place(graph, cards, available / scale, 'cards'), scale };
}

function blocksOf(graph: Graph, cards: boolean): Block[] {
  const steps = new Map<string, number>();
  for (const node of graph.nodes) if (node.flow) steps.set(node.flow, (steps.get(node.flow) ?? 0) + 1);
  const blocks = new Map<string, Block>();
  const home = new Map<string, string>();
  for (const node of graph.nodes) {
    // A single step needs no card around it.
    const card = cards && node.kind === 'step' && steps.get(node.flow ?? '')! > 1;
    const id = card ? `flow:${node.flow}` : node.id;
    home.set(node.id, id);
    const block = blocks.get(id) ?? { id, card, nodes: [], depth: 0, height: card ? CARD_HEAD + CARD_FOOT : 0, y: 0 };
    block.nodes.push(node);
    block.height += card ? rowHeightOf(node) : heightOf(node);
    blocks.set(id, block);
  }
  const edges = graph.edges.map((edge) => [home.get(edge.from)!, home.get(edge.to)!] as const).filter(([from, to]) => from !== to);
  // The longest way from a source. A table that feeds itself would go round for ever, hence the bound.
  for (let round = 0; round < blocks.size; round++) {
    let moved = false;
    for (const [from, to] of edges) {
      const next = Math.min(blocks.get(from)!.depth + 1, blocks.size);
      if (next > blocks.get(to)!.depth) {
        blocks.get(to)!.depth = next;
        moved = true;
      }
    }
    if (!moved) break;
  }
  return [...blocks.values()];
}

function place(graph: Graph, blocks: Block[], available: number, shape: 'wide' | 'cards'): Layout {
  const layers: Block[][] = [];
  for (const block of blocks) (layers[block.depth] ??= []).push(block);
  const isWide = layers.map((layer) => layer.some((block) => block.card));
  const wideColumns = isWide.filter(Boolean).length;
  const thinColumns = layers.length - wideColumns;
  // Cards take what the other columns leave, and gaps what is left then.
  const room = available - 4 - GAP_MIN * (layers.length - 1);
  const card = Math.max(CARD_MIN, Math.min(CARD_MAX, (room - thinColumns * 176) / Math.max(1, wideColumns)));
  const thin = Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, (room - wideColumns * card) / Math.max(1, thinColumns)));
  const widths = isWide.map((wide) => (wide ? card : thin));
  const taken = widths.reduce((sum, width) => sum + width, 0);
  const gap = Math.max(GAP_MIN, Math.min(GAP_MAX, (available - 4 - taken) / Math.max(1, layers.length - 1)));
  const used = taken + (layers.length - 1) * gap;
  const total = Math.max(available, used + 4);
  const lefts = widths.map((_, i) => (total - used) / 2 + widths.slice(0, i).reduce((sum, width) => sum + width + gap, 0));

  const home = new Map(blocks.flatMap((block) => block.nodes.map((node) => [node.id, block] as const)));
  const near = (block: Block, end: 'from' | 'to') => {
    const other = end === 'from' ? 'to' : 'from';
    return graph.edges.filter((edge) => home.get(edge[end]) === block).map((edge) => home.get(edge[other])!).filter((one) => one !== block);
  };
  const inputs = new Map(blocks.map((block) => [block, near(block, 'to')]));
  const outputs = new Map(blocks.map((block) => [block, near(block, 'from')]));
  const middle = (block: Block) => block.y + block.height / 2;
  const mean = (of: Block[], otherwise: number) => (of.length > 0 ? of.reduce((sum, one) => sum + middle(one), 0) / of.length : otherwise);

  for (const layer of layers) {
    layer.sort((a, b) => mean(inputs.get(a)!, 0) - mean(inputs.get(b)!, 0));
    let y = 0;
    for (const block of layer) {
      block.y = y;
      y += block.height + GAP_Y;
    }
  }
  const settle = (layer: Block[], neighbours: Map<Block, Block[]>) => {
    const wish = new Map(layer.map((block) => [block, mean(neighbours.get(block)!, middle(block))]));
    let low = -Infinity;
    for (const block of layer) {
      block.y = Math.max(low, wish.get(block)! - block.height / 2);
      low = block.y + block.height + GAP_Y;
    }
    const drift = layer.reduce((sum, block) => sum + wish.get(block)! - middle(block), 0) / layer.length;
    for (const block of layer) block.y += drift;
  };
  for (let pass = 0; pass < 4; pass++) {
    for (const layer of layers.slice(1)) settle(layer, inputs);
    for (const layer of layers.slice(0, -1).reverse()) settle(layer, outputs);
  }

  const top = Math.min(...blocks.map((block) => block.y)) - 2;
  const placed = new Map<string, Placed>();
  const frames: Frame[] = [];
  for (const block of blocks) put(block, lefts[block.depth]!, block.y - top, widths[block.depth]!, placed, frames);
  const height = Math.max(...blocks.map((block) => block.y + block.height)) - top + 2;
  return { placed, frames, width: total, height, scale: 1, shape };
}

/** Puts a block and what is in it at its place. */
function put(block: Block, x: number, y: number, width: number, placed: Map<string, Placed>, frames: Frame[]) {
  if (!block.card) {
    const node = block.nodes[0]!;
    placed.set(node.id, { node, x, y, width, height: block.height });
    return;
  }
  frames.push({ flow: block.nodes[0]!.flow ?? '', x, y, width, height: block.height });
  y += CARD_HEAD;
  for (const node of block.nodes) {
    placed.set(node.id, { node, x, y, width, height: rowHeightOf(node) });
    y += rowHeightOf(node);
  }
}

function tall(blocks: Block[], available: number): Layout {
  const [gapX, gapY] = [12, 34];
  const layers: Block[][] = [];
  for (const block of blocks) (layers[block.depth] ??= []).push(block);
  const widest = (layer: Block[]) => (layer.some((block) => block.card) ? CARD_MIN : WIDTH_MIN);
  const total = Math.max(available, ...layers.map((layer) => layer.length * widest(layer) + (layer.length - 1) * gapX + 4));
  const placed = new Map<string, Placed>();
  const frames: Frame[] = [];
  let y = 2;
  for (const layer of layers) {
    const most = layer.some((block) => block.card) ? CARD_MAX : WIDTH_MAX;
    const width = Math.max(widest(layer), Math.min(most, (total - 4 - gapX * (layer.length - 1)) / layer.length));
    let x = (total - layer.length * width - (layer.length - 1) * gapX) / 2;
    for (const block of layer) {
      put(block, x, y, width, placed, frames);
      x += width + gapX;
    }
    y += Math.max(...layer.map((block) => block.height), 0) + gapY;
  }
  return { placed, frames, width: total, height: y - gapY + 2, scale: 1, shape: 'tall' };
}
