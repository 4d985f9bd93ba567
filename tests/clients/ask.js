// node ask.js DIRECTORY URL END: what three clients from npm get from a server, as one line of JSON:
// {"client.call": answer or "error: ..."}.
// DIRECTORY has node_modules; END is the time of the newest samples, in seconds.
const { createRequire } = require('module');
const load = createRequire(process.argv[2] + '/ask.js');
const url = process.argv[3];
const end = Number(process.argv[4]);
const start = end - 1800;
const answers = {};

async function ask(name, call) {
  try {
    answers[name] = (await call()) ?? null;
  } catch (error) {
    answers[name] = `error: ${error.message ?? error}`;
  }
}

function sorted(list) {
  return list.map((x) => JSON.stringify(x)).sort();
}

// The autocompletion of Prometheus's own pages.
async function codemirror() {
  const { HTTPPrometheusClient } = load('@prometheus-io/codemirror-promql/dist/cjs/client/prometheus.js');
  for (const method of ['GET', 'POST']) {
    let failed;
    const client = new HTTPPrometheusClient({ url, httpMethod: method, httpErrorHandler: (e) => (failed = e) });
    const checked = (name, call) =>
      ask(`codemirror.${method}.${name}`, async () => {
        failed = undefined;
        const answer = await call();
        if (failed) throw failed;
        return answer;
      });
    await checked('metricNames', () => client.metricNames());
    await checked('labelNames', () => client.labelNames());
    await checked('labelNames of a metric', () => client.labelNames('demo_cpu_seconds_total'));
    await checked('labelValues', () => client.labelValues('mode'));
    await checked('labelValues of a metric', () => client.labelValues('instance', 'up'));
    await checked('series', async () => sorted(await client.series('up')));
    await checked('metricMetadata', () => client.metricMetadata());
    await checked('flags', () => client.flags());
  }
}

async function prometheusQuery() {
  const { PrometheusDriver } = load('prometheus-query');
  const driver = new PrometheusDriver({ endpoint: url });
  const at = new Date(end * 1000);
  const from = new Date(start * 1000);
  await ask('query.instant', async () => sorted((await driver.instantQuery('up', at)).result));
  await ask('query.scalar', async () => await driver.instantQuery('scalar(sum(up)) * 2', at));
  const metric = 'demo_temperature_celsius';
  await ask('query.range', async () => sorted((await driver.rangeQuery(metric, from, at, 60)).result));
  await ask('query.error', () => driver.instantQuery('sum(', at));
  await ask('query.series', async () => sorted(await driver.series('up', from, at)));
  await ask('query.series of two', async () => sorted(await driver.series(['up', 'demo_text'], from, at)));
  await ask('query.labelNames', () => driver.labelNames());
  await ask('query.labelValues', () => driver.labelValues('job'));
  await ask('query.metadata', () => driver.metadata('up'));
  await ask('query.rules', () => driver.rules());
  await ask('query.alerts', () => driver.alerts());
  await ask('query.alertmanagers', () => driver.alertmanagers());
  await ask('query.statusFlags', async () => typeof (await driver.statusFlags())['storage.tsdb.path']);
  await ask('query.statusBuildinfo', async () => Object.keys(await driver.statusBuildinfo()).sort());
  await ask('query.statusTSDB', async () => Object.keys(await driver.statusTSDB()).sort());
}

async function perses() {
  const client = load('@perses-dev/prometheus-plugin/lib/cjs/model/prometheus-client.js');
  const options = { datasourceUrl: url };
  const data = async (promise) => {
    const { status, data, error, errorType } = await promise;
    const list = data?.result ?? data;
    return { status, errorType, error, data: Array.isArray(list) ? sorted(list) : list };
  };
  await ask('perses.healthCheck', () => client.healthCheck(options)());
  await ask('perses.instantQuery', () => data(client.instantQuery({ query: 'demo_extreme', time: end }, options)));
  await ask('perses.rangeQuery', () => data(client.rangeQuery({ query: 'up', start, end, step: 30 }, options)));
  await ask('perses.labelNames', () => data(client.labelNames({ 'match[]': ['up'], start, end }, options)));
  const values = { labelName: 'instance', 'match[]': ['up'], start, end };
  await ask('perses.labelValues', () => data(client.labelValues(values, options)));
  await ask('perses.series', () => data(client.series({ 'match[]': ['up'], start, end }, options)));
  await ask('perses.metricMetadata', () => data(client.metricMetadata({ metric: 'up' }, options)));
  await ask('perses.parseQuery', () => data(client.parseQuery({ query: 'up > 1' }, options)));
}

(async () => {
  await codemirror();
  await prometheusQuery();
  await perses();
  console.log(JSON.stringify(answers));
})();
