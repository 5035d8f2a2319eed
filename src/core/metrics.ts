// Counters, gauges and histograms as modules declare them, on prom-client. One registry per server, never the global one.
import {
  AggregatorRegistry,
  collectDefaultMetrics,
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
} from 'prom-client';

export interface Counter {
  inc(by?: number): void;
}
export interface Gauge {
  set(value: number): void;
  inc(by?: number): void;
  dec(by?: number): void;
}
export interface Histogram {
  /** Seconds, for durations. */
  observe(value: number): void;
}

/** Declares a metric of a module. */
export interface Measure<T> {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly buckets: readonly number[] | undefined;
  readonly __opens?: T;
}
export type Measures<M> = { readonly [K in keyof M]: M[K] extends Measure<infer T> ? T : never };

export const counter = (help: string): Measure<Counter> => ({ kind: 'counter', help, buckets: undefined });
export const gauge = (help: string): Measure<Gauge> => ({ kind: 'gauge', help, buckets: undefined });
export const histogram = (help: string, buckets?: readonly number[]): Measure<Histogram> => ({
  kind: 'histogram',
  help,
  buckets,
});

/** Counts by itself, and tells the registry when it is read: looking up labels takes longer than many a stanza's step. */
class Count implements Counter {
  private untold = 0;
  private readonly total: Counter;

  constructor(total: Counter) {
    this.total = total;
  }

  inc(by = 1): void {
    this.untold += by;
  }

  tell(): void {
    if (this.untold > 0) this.total.inc(this.untold);
    this.untold = 0;
  }
}

/** The metrics of one server. Label values come from a closed set: `host`, `kind`, never addresses. */
export class Metrics {
  readonly registry = new Registry();
  // of their own: their observers live as long as the process, and would keep a stopped server alive through its registry
  private readonly ofProcess = new Registry();
  private readonly made = new Map<string, PromCounter | PromGauge | PromHistogram>();
  /** Of each counter, by its labels. */
  private readonly counts = new Map<string, Map<string, Count>>();

  /** Opens declared metrics as `parley_<prefix>_<name>`, each with these labels fixed. */
  open<M extends Readonly<Record<string, Measure<unknown>>>>(
    prefix: string,
    measures: M,
    labels: Readonly<Record<string, string>>,
  ): Measures<M> {
    const opened: Record<string, unknown> = {};
    for (const [name, measure] of Object.entries(measures)) {
      const full = metricName(prefix, name, measure.kind);
      const metric = this.metric(full, measure, Object.keys(labels));
      opened[name] = metric instanceof PromCounter ? this.count(full, metric, labels) : metric.labels(labels);
    }
    return opened as Measures<M>;
  }

  /** A gauge whose value is asked for when the metrics are read. */
  observe(name: string, help: string, labelNames: readonly string[], read: (gauge: PromGauge) => void): void {
    const gauge = new PromGauge({
      name: `parley_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      collect() {
        gauge.reset();
        read(gauge);
      },
    });
  }

  /** What Node tells of the process: memory, CPU, delay of the event loop. */
  process(): void {
    collectDefaultMetrics({ register: this.ofProcess });
  }

  /** The text of `/metrics`. */
  async text(): Promise<string> {
    return (await this.registry.metrics()) + (await this.ofProcess.metrics());
  }

  /** The same as plain JSON, for {@link joinFigures}. */
  async figures(): Promise<Figures> {
    const all = [...(await this.registry.getMetricsAsJSON()), ...(await this.ofProcess.getMetricsAsJSON())];
    // its types say that the kind is a number, and it is a word
    return all as unknown as Figures;
  }

  private count(name: string, metric: PromCounter, labels: Readonly<Record<string, string>>): Count {
    const counts = this.counts.get(name) ?? new Map<string, Count>();
    this.counts.set(name, counts);
    const key = JSON.stringify(labels);
    const count = counts.get(key) ?? new Count(metric.labels(labels));
    counts.set(key, count);
    return count;
  }

  private tell(name: string): void {
    for (const count of this.counts.get(name)?.values() ?? []) count.tell();
  }

  private metric(
    name: string,
    measure: Measure<unknown>,
    labelNames: string[],
  ): PromCounter | PromGauge | PromHistogram {
    const had = this.made.get(name);
    if (had !== undefined) return had;
    const options = { name, help: measure.help, labelNames, registers: [this.registry] };
    const metric =
      measure.kind === 'counter'
        ? new PromCounter({ ...options, collect: () => this.tell(name) })
        : measure.kind === 'gauge'
          ? new PromGauge(options)
          : new PromHistogram(measure.buckets === undefined ? options : { ...options, buckets: [...measure.buckets] });
    this.made.set(name, metric);
    return metric;
  }
}

/** A metric as plain JSON. */
interface Figure {
  readonly name: string;
  readonly help: string;
  /** `counter`, `gauge` or `histogram`. */
  readonly type: string;
  readonly values: readonly {
    readonly value: number;
    readonly labels: Readonly<Record<string, string | number | undefined>>;
  }[];
}
/** All metrics of one process. */
export type Figures = readonly Figure[];

/** The text of `/metrics` for several nodes, each told by a label `node`. */
export function joinFigures(nodes: readonly { readonly node: string; readonly figures: Figures }[]): Promise<string> {
  const labelled = nodes.map(({ node, figures }) =>
    figures.map((metric) => ({
      ...metric,
      // what cannot be added up is told of each node all the same
      aggregator: 'first',
      values: metric.values.map((value) => ({ ...value, labels: { ...value.labels, node } })),
    })),
  );
  return AggregatorRegistry.aggregate(labelled).metrics();
}

/** Prometheus' naming: snake case, counters end in `_total`. */
function metricName(prefix: string, name: string, kind: Measure<unknown>['kind']): string {
  const snake = `${prefix}_${name}`.replace(/-/g, '_').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return `parley_${snake}${kind === 'counter' ? '_total' : ''}`;
}
