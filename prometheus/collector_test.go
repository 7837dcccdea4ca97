package prommultiprolab_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
	prommultiprolab "github.com/multiprolab/multiprolab/prometheus"
)

func newApp() *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Logger: slog.New(slog.DiscardHandler)})
	app.RegisterWorker("grinder", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "grind", func(_ context.Context, how string) (int, error) {
			switch how {
			case "fail":
				return 0, fmt.Errorf("it is too hard")
			case "die":
				p, err := os.FindProcess(os.Getpid())
				if err == nil {
					err = p.Kill()
				}
				if err != nil {
					return 0, err
				}
				select {}
			}
			return len(how), nil
		})
		return nil
	}, &multiprolab.WorkerConfig{Count: 6, RestartLimit: multiprolab.RestartLimit{Restarts: -1}})
	return app
}

func TestMain(m *testing.M) {
	multiprolabtest.Hook(newApp)
	os.Exit(m.Run())
}

// fixed is a source that always has the same figures, and counts how often it is asked.
type fixed struct {
	stats multiprolab.Stats
	asked int
}

func (f *fixed) Stats() *multiprolab.Stats { f.asked++; return &f.stats }

// remembered is a source that keeps the last snapshot that it has given.
type remembered struct {
	*multiprolab.Main
	last *multiprolab.Stats
}

func (r *remembered) Stats() *multiprolab.Stats { r.last = r.Main.Stats(); return r.last }

// scrape reads the figures over HTTP, as Prometheus does.
func scrape(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	require.NoError(t, err)
	return families
}

// serve serves the figures of a source, which are clean as promlint finds.
func serve(t *testing.T, app prommultiprolab.Source, cfg *prommultiprolab.Config) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(prommultiprolab.NewCollector(app, cfg))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(server.Close)
	return server.URL
}

// values are the values of a family by their labels, such as "grind succeeded", of a histogram its
// counts.
func values(f *dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
		if m.Histogram != nil {
			v = float64(m.GetHistogram().GetSampleCount())
		}
		all[strings.Join(labels, " ")] = v
	}
	return all
}

// TestKills: what a scrape shows is what Stats says, and adds up, while workers die; no counter
// ever goes back.
func TestKills(t *testing.T) {
	app := newApp()
	require.NoError(t, app.Start(context.Background()))
	defer func() { require.NoError(t, app.Close()) }()
	source := &remembered{Main: app}
	url := serve(t, source, nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const rounds = 10
	before := map[string]float64{}
	for range rounds {
		var waiting []*multiprolab.Future[int]
		for i := range 30 {
			how := []string{"x", "fail", "x"}[i%3]
			if i == 10 {
				how = "die"
			}
			f, err := multiprolab.Submit[int](ctx, app, "grind", how, nil)
			require.NoError(t, err)
			waiting = append(waiting, f)
		}
		check := func() {
			t.Helper()
			families := scrape(t, url)
			agree(t, families, source.last)
			for name, f := range families {
				if f.GetType() == dto.MetricType_GAUGE {
					continue
				}
				for labels, v := range values(f) {
					key := name + " " + labels
					require.GreaterOrEqual(t, v, before[key], key)
					before[key] = v
				}
			}
		}
		check()
		for _, f := range waiting {

			_, _ = f.Wait(ctx) // some fail
			if rand.IntN(8) == 0 {
				check()
			}
		}
		check()
	}
	last := scrape(t, url)
	require.Equal(t, 30.0*rounds, values(last["multiprolab_tasks_received_total"])["type=grind"])
	outcomes := values(last["multiprolab_tasks_total"])
	require.Equal(t, 20.0*rounds, outcomes["outcome=succeeded type=grind"])
	require.Equal(t, 10.0*rounds, outcomes["outcome=failed type=grind"])
	require.Equal(t, 30.0*rounds, values(last["multiprolab_task_run_seconds"])["type=grind"])
	deadline := time.Now().Add(30 * time.Second)
	for sum(values(last["multiprolab_worker_deaths_total"])) < rounds && time.Now().Before(deadline) {
		last = scrape(t, url) // the last death may still be on its way
	}
	require.Equal(t, float64(rounds), values(last["multiprolab_worker_deaths_total"])["cause=signal pool=grinder"])
}

func sum(values map[string]float64) (s float64) {
	for _, v := range values {
		s += v
	}
	return s
}

// agree holds that a scrape shows a snapshot, in which tasks add up.
func agree(t *testing.T, families map[string]*dto.MetricFamily, s *multiprolab.Stats) {
	t.Helper()
	get := func(name, labels string) float64 {
		v, ok := values(families["multiprolab_"+name])[labels]
		require.True(t, ok, "%s{%s}", name, labels)
		return v
	}
	for _, typ := range s.Types {
		of := "type=" + typ.Type
		require.Equal(t, float64(typ.Received), get("tasks_received_total", of))
		done := 0.0
		for outcome, n := range map[string]uint64{
			"succeeded": typ.Succeeded, "failed": typ.Failed, "cancelled": typ.Cancelled,
		} {
			require.Equal(t, float64(n), get("tasks_total", "outcome="+outcome+" "+of))
			done += float64(n)
		}
		require.Equal(t, float64(typ.Received), done+float64(typ.Queued+typ.Running))
		require.Equal(t, float64(typ.Run.Count), get("task_run_seconds", of))
		require.Equal(t, float64(typ.Wait.Count), get("task_wait_seconds", of))
	}
	for _, q := range s.Queues {
		waiting := 0.0
		for state, n := range map[string]uint64{
			"ready": q.Ready, "delayed": q.Delayed, "blocked": q.Blocked, "assigned": q.Assigned,
		} {
			require.Equal(t, float64(n), get("queue_tasks", "queue="+q.Name+" state="+state))
			waiting += float64(n)
		}
		require.Equal(t, float64(q.Queued), waiting)
		require.Equal(t, float64(q.Throttled), get("queue_throttled_tasks", "queue="+q.Name))
		require.Equal(t, float64(q.Running), get("queue_tasks", "queue="+q.Name+" state=running"))
	}
	for _, w := range s.Workers {
		of := "pool=" + w.Pool + " worker=" + w.Name
		require.Equal(t, float64(w.Process.Resident), get("worker_memory_bytes", of))
		require.GreaterOrEqual(t, get("worker_cpu_seconds_total", of), w.Process.CPU.Seconds())
		require.Equal(t, float64(w.Tasks), get("worker_tasks_total", of))
	}
	for _, p := range s.Pools {
		there := 0.0
		for labels, n := range values(families["multiprolab_workers"]) {
			if strings.HasPrefix(labels, "pool="+p.Name+" ") {
				there += n
			}
		}
		require.Equal(t, float64(p.Size+p.Spares), there)
		for cause, n := range p.Deaths {
			require.Equal(t, float64(n), get("worker_deaths_total", "cause="+string(cause)+" pool="+p.Name))
		}
	}
	require.Equal(t, float64(s.Wire.BytesSent), get("wire_bytes_total", "direction=sent"))
}

// One scrape takes one snapshot, and nothing that users name, however hostile, breaks it or is
// mistaken for another name.
func TestHostileNames(t *testing.T) {
	long, broken := strings.Repeat("x", 1<<20), "a\xff\xfe\nb\"\\{}"
	f := &fixed{}
	for _, name := range []string{"", long, long + "y", broken, broken + "\xff", "\u2028<script>"} {
		f.stats.Types = append(f.stats.Types, multiprolab.TypeStats{Type: name})
		f.stats.Queues = append(f.stats.Queues, multiprolab.QueueStats{Name: name})
		f.stats.Pools = append(f.stats.Pools, multiprolab.PoolStats{Name: name, Size: 1})
		f.stats.Workers = append(f.stats.Workers, multiprolab.WorkerStats{
			Name: name + "/0", Pool: name, State: multiprolab.StateReady,
		})
	}
	url := serve(t, f, nil)
	f.asked = 0
	families := scrape(t, url)
	require.Equal(t, 1, f.asked)
	for _, name := range []string{
		"tasks_received_total", "queue_paused", "worker_restarts_total", "worker_memory_bytes",
	} {
		require.Len(t, values(families["multiprolab_"+name]), 6, name)
	}
	for labels := range values(families["multiprolab_tasks_received_total"]) {
		require.Less(t, len(labels), 250)
	}
	ready := 0.0
	for labels, n := range values(families["multiprolab_workers"]) {
		if strings.HasSuffix(labels, "state=ready") {
			require.Equal(t, 1.0, n, labels)
			ready++
		}
	}
	require.Equal(t, 6.0, ready)
	require.Contains(t, values(families["multiprolab_tasks_received_total"]), "type=(other)")
}

// The buckets of the histograms are exact where they lie on powers of two, and never count too
// much.
func TestBuckets(t *testing.T) {
	f := &fixed{}
	h := multiprolab.Histogram{Count: 7, Sum: 3 * time.Second, Buckets: []multiprolab.Bucket{
		{Bound: 1<<10 - 1, Count: 1}, {Bound: 1<<20 - 1, Count: 2}, {Bound: 1<<20 + 1<<17 - 1, Count: 1},
		{Bound: 1<<50 - 1, Count: 3},
	}}
	f.stats.Types = []multiprolab.TypeStats{{Type: "grind", Run: h, Wait: h}}
	shown := func(cfg *prommultiprolab.Config) map[float64]uint64 {
		m := scrape(t, serve(t, f, cfg))["multiprolab_task_run_seconds"].GetMetric()[0].GetHistogram()
		require.Equal(t, uint64(7), m.GetSampleCount())
		require.Equal(t, 3.0, m.GetSampleSum())
		all := map[float64]uint64{}
		for _, b := range m.GetBucket() {
			all[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		return all
	}
	byDefault := shown(nil)
	require.Len(t, byDefault, 19)
	require.Equal(t, uint64(1), byDefault[1.024e-6])
	require.Equal(t, uint64(3), byDefault[0.001048576])
	require.Equal(t, uint64(4), byDefault[0.004194304])
	require.Equal(t, uint64(7), byDefault[math.Inf(1)])
	require.Equal(t, map[float64]uint64{0.001: 1, 0.01: 4, math.Inf(1): 7},
		shown(&prommultiprolab.Config{Buckets: []float64{0.001, 0.01}}))
	require.Panics(t, func() { prommultiprolab.NewCollector(f, &prommultiprolab.Config{Buckets: []float64{2, 1}}) })
}

// Bounds that make no histogram are refused where the collector is made, and not at each scrape.
func TestBoundsAreChecked(t *testing.T) {
	for _, bounds := range [][]float64{
		{2, 1}, {1, 1}, {math.NaN()}, {1, math.NaN()}, {1, math.Inf(1)}, {math.Inf(-1)}, {math.NaN(), 1},
	} {
		require.Panics(t, func() {
			prommultiprolab.NewCollector(&fixed{}, &prommultiprolab.Config{Buckets: bounds})
		}, "%v", bounds)
	}
}

// Two programs are in one registry, each under its own label, and are scraped before they start,
// while they run, and after their end, by many at once.
func TestTwoPrograms(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var apps []*multiprolab.Main
	for _, name := range []string{"a", "b"} {
		app := newApp()
		apps = append(apps, app)
		labels := prometheus.Labels{"program": name}
		prometheus.WrapRegistererWith(labels, registry).MustRegister(prommultiprolab.NewCollector(app, nil))
	}
	received := func() map[string]float64 {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "multiprolab_tasks_received_total" {
				return values(f)
			}
		}
		return nil
	}
	require.Empty(t, received())
	for _, app := range apps {
		require.NoError(t, app.Start(t.Context()))
	}
	var scrapes sync.WaitGroup
	for range 4 {
		scrapes.Go(func() {
			for range 20 {
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		_, err := multiprolab.Do[int](t.Context(), apps[1], "grind", "x")
		require.NoError(t, err)
	}
	require.NoError(t, apps[1].Resize("grinder", 1))
	scrapes.Wait()
	for _, app := range apps {
		require.NoError(t, app.Close())
	}
	require.Equal(t, map[string]float64{"program=b type=grind": 10}, received())
}

// However many names users invent, a scrape has so many series and no more, and the sums of all
// types do not fall when types are counted together.
func TestManyNames(t *testing.T) {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Logger: slog.New(slog.DiscardHandler)})
	app.RegisterWorker("all", func(_ context.Context, w *multiprolab.Worker) error {
		for i := range 2100 {
			multiprolab.HandleTask(w, fmt.Sprint("type-", i), func(context.Context, int) (int, error) { return 0, nil })
		}
		return nil
	}, nil)
	require.NoError(t, app.Start(t.Context()))
	defer func() { require.NoError(t, app.Close()) }()
	url := serve(t, app, nil)
	before := 0.0
	for round := range 3 {
		for i := range 700 {
			_, err := multiprolab.Do[int](t.Context(), app, fmt.Sprint("type-", 700*round+i), 1)
			require.NoError(t, err)
		}
		families := scrape(t, url)
		for _, name := range []string{"tasks_received_total", "task_run_seconds", "task_wait_seconds"} {
			require.LessOrEqual(t, len(values(families["multiprolab_"+name])), 1001, name)
		}
		now := sum(values(families["multiprolab_tasks_received_total"]))
		require.Equal(t, before+700, now)
		before = now
	}
}

// Each cause of a death and each state that the library knows is shown.
func TestAllCausesAndStatesAreShown(t *testing.T) {
	source, err := os.ReadFile("../deathcause.go")
	require.NoError(t, err)
	more, err := os.ReadFile("../stats.go")
	require.NoError(t, err)
	f := &fixed{}
	f.stats.Pools = []multiprolab.PoolStats{{Name: "p"}}
	families := scrape(t, serve(t, f, nil))
	deaths, workers := values(families["multiprolab_worker_deaths_total"]), values(families["multiprolab_workers"])
	constants := regexp.MustCompile(`(?m)^\t(Cause|State)\w+ +(?:DeathCause|WorkerState) += "(\w+)"`)
	found := constants.FindAllStringSubmatch(string(source)+string(more), -1)
	require.Greater(t, len(found), 20)
	for _, c := range found {
		if c[1] == "Cause" {
			require.Contains(t, deaths, "cause="+c[2]+" pool=p")
		} else {
			require.Contains(t, workers, "pool=p state="+c[2])
		}
	}
	require.Len(t, found, len(deaths)+len(workers))
}

// The processor time of a worker is that of all its lives that were seen, and goes on where a life
// ends.
func TestProcessorTime(t *testing.T) {
	f := &fixed{}
	url := serve(t, f, nil)
	for _, c := range []struct {
		life int
		used time.Duration
		want float64
	}{{1, time.Second, 1}, {1, 2 * time.Second, 2}, {1, 0, 2}, {2, 0, 2}, {2, time.Second, 3}, {4, time.Second, 4}} {
		f.stats.Workers = []multiprolab.WorkerStats{{Name: "a/0", Pool: "a", Life: c.life}}
		f.stats.Workers[0].Process.CPU = c.used
		shown := values(scrape(t, url)["multiprolab_worker_cpu_seconds_total"])
		require.Equal(t, c.want, shown["pool=a worker=a/0"], "%v", c)
	}
}
