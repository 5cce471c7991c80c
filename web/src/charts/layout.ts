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

export interface Layout {
  placed: Map<string, Placed>;
  width: number;
  height: number;
  vertical: boolean;
}

/** Height of a node's box, px. */
export function heightOf(node: GraphNode): number {
  if (node.kind !== 'step') return 62;
  const { step } = node;
  const more = Number(step.state_rows > 0) + Number(step.watermark_us !== null) + Number(step.late > 0 || step.dead > 0);
  return 62 + more * 19;
}

/** Lays the graph out into `available` px of width; from top to bottom if that is a phone's. */
export function layout(graph: Graph, available: number): Layout {
  const vertical = available < 640;
  const layers = layersOf(graph);
  const inputs = new Map(graph.nodes.map((node) => [node.id, graph.edges.filter((edge) => edge.to === node.id).map((edge) => edge.from)]));
  const outputs = new Map(graph.nodes.map((node) => [node.id, graph.edges.filter((edge) => edge.from === node.id).map((edge) => edge.to)]));
  const placed = new Map<string, Placed>();

  if (vertical) {
    const [gapX, gapY] = [12, 34];
    const most = Math.max(...layers.map((layer) => layer.length), 1);
    const width = Math.max(148, Math.min(260, (available - gapX * (most - 1)) / most));
    const total = Math.max(available, most * width + (most - 1) * gapX);
    let y = 2;
    for (const layer of layers) {
      const heights = layer.map(heightOf);
      let x = (total - layer.length * width - (layer.length - 1) * gapX) / 2;
      layer.forEach((node, i) => {
        placed.set(node.id, { node, x, y, width, height: heights[i]! });
        x += width + gapX;
      });
      y += Math.max(...heights, 0) + gapY;
    }
    return { placed, width: total, height: y - gapY + 2, vertical };
  }

  const gapX = Math.max(36, Math.min(64, available / (layers.length * 4)));
  const gapY = 18;
  const width = Math.max(152, Math.min(236, (available - gapX * (layers.length - 1) - 4) / layers.length));
  const total = Math.max(available, layers.length * width + (layers.length - 1) * gapX + 4);
  const spread = layers.length > 1 ? (total - 4 - layers.length * width) / (layers.length - 1) : 0;
  const gap = Math.min(spread, 110);
  const left = (total - layers.length * width - (layers.length - 1) * gap) / 2;
  layers.forEach((layer, depth) => {
    for (const node of layer) placed.set(node.id, { node, x: left + depth * (width + gap), y: 0, width, height: heightOf(node) });
  });
  const middle = (id: string) => placed.get(id)!.y + placed.get(id)!.height / 2;
  const settle = (layer: GraphNode[], neighbours: Map<string, string[]>) => {
    const wish = new Map(
      layer.map((node) => {
        const near = neighbours.get(node.id)!;
        return [node.id, near.length > 0 ? near.reduce((sum, id) => sum + middle(id), 0) / near.length : middle(node.id)] as const;
      }),
    );
    // Layers keep their order (that of the project's text), so that nothing jumps about.
    let low = -Infinity;
    for (const node of layer) {
      const box = placed.get(node.id)!;
      box.y = Math.max(low, wish.get(node.id)! - box.height / 2);
      low = box.y + box.height + gapY;
    }
    const drift = layer.reduce((sum, node) => sum + wish.get(node.id)! - middle(node.id), 0) / layer.length;
    for (const node of layer) placed.get(node.id)!.y += drift;
  };
  for (const layer of layers) {
    let y = 0;
    for (const node of layer) {
      placed.get(node.id)!.y = y;
      y += placed.get(node.id)!.height + gapY;
    }
  }
  for (let pass = 0; pass < 3; pass++) {
    for (const layer of layers.slice(1)) settle(layer, inputs);
    for (const layer of layers.slice(0, -1).reverse()) settle(layer, outputs);
  }
  const top = Math.min(...[...placed.values()].map((box) => box.y));
  for (const box of placed.values()) box.y += 2 - top;
  const height = Math.max(...[...placed.values()].map((box) => box.y + box.height)) + 2;
  return { placed, width: total, height, vertical };
}

/** Nodes by their longest way from a source, each layer ordered by where its inputs are. */
function layersOf({ nodes, edges }: Graph): GraphNode[][] {
  const depth = new Map<string, number>(nodes.map((node) => [node.id, 0]));
  for (let round = 0; round < nodes.length; round++) {
    let moved = false;
    for (const { from, to } of edges) {
      const next = depth.get(from)! + 1;
      if (next > depth.get(to)! && next <= nodes.length) {
        depth.set(to, next);
        moved = true;
      }
    }
    if (!moved) break;
  }
  const layers: GraphNode[][] = [];
  for (const node of nodes) (layers[depth.get(node.id)!] ??= []).push(node);
  const dense = layers.filter((layer) => layer !== undefined);
  const rank = new Map<string, number>();
  for (const layer of dense) {
    const wish = new Map(
      layer.map((node, i) => {
        const from = edges.filter((edge) => edge.to === node.id).map((edge) => rank.get(edge.from) ?? 0);
        return [node.id, from.length > 0 ? from.reduce((sum, n) => sum + n, 0) / from.length : i] as const;
      }),
    );
    layer.sort((a, b) => wish.get(a.id)! - wish.get(b.id)!);
    layer.forEach((node, i) => rank.set(node.id, i / layer.length));
  }
  return dense;
}
