package prommultiprolab

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/multiprolab/multiprolab"
)

// Source is where the figures come from: a *multiprolab.Main.
type Source interface {
	// Stats returns a snapshot, as multiprolab.Main.Stats does.
	Stats() *multiprolab.Stats
}

// Config says how the figures are shown. The zero value is good.
type Config struct {
	// Buckets are the upper bounds of the buckets of the histograms in seconds, in growing order,
	// without the infinite one. Nil means 18 of them, from 1.024 µs to 4.9 hours, each four times
	// the one before: the powers of two, in nanoseconds, at which the library itself counts, so that
	// they are exact. At other bounds a count is up to an eighth of a power of two too small.
	Buckets []float64
}

// defaultBuckets are those of a Config without any.
func defaultBuckets() []float64 {
	var bounds []float64
	for n := 10; n <= 44; n += 2 {
		bounds = append(bounds, float64(int64(1)<<n)/1e9)
	}
	return bounds
}

// Collector shows the figures of one program. Any goroutine may use it.
type Collector struct {
	source  Source    // does not change
	buckets []float64 // the upper bounds; does not change

	// mu guards cpu.
	mu sync.Mutex
	// cpu is the processor time of the workers in the last snapshot, by their names.
	cpu map[string]lives
}

// lives is the processor time of the lives of a worker, as far as snapshots have seen it.
type lives struct {
	life    int           // the number of the last life
	last    time.Duration // what that has used
	earlier time.Duration // what those before have used
}

// NewCollector returns a prometheus.Collector of the figures of a program. cfg may be nil.
func NewCollector(app Source, cfg *Config) *Collector {
	c := &Collector{source: app, buckets: defaultBuckets(), cpu: map[string]lives{}}
	if cfg != nil && cfg.Buckets != nil {
		c.buckets = slices.Clone(cfg.Buckets)
		last := math.Inf(-1)
		for _, bound := range c.buckets {
			if math.IsNaN(bound) || bound <= last || math.IsInf(bound, 1) {
				panic("prommultiprolab: Config.Buckets: give bounds in growing order, without the infinite one")
			}
			last = bound
		}
	}
	return c
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("multiprolab_"+name, help, labels, nil)
}

func descOfWorker(name, help string) *prometheus.Desc {
	return desc("worker_"+name, help, "pool", "worker")
}

// The metrics of tasks, by types and by queues.
var (
	received  = desc("tasks_received_total", "Tasks that were submitted.", "type")
	tasks     = desc("tasks_total", "Outcomes of tasks.", "type", "outcome")
	retries   = desc("task_retries_total", "Attempts at tasks that were followed by another one.", "type")
	run       = desc("task_run_seconds", "How long attempts at tasks took.", "type")
	wait      = desc("task_wait_seconds", "How long tasks waited for a worker.", "type")
	queued    = desc("queue_tasks", "Tasks in a queue, and with workers.", "queue", "state")
	throttled = desc("queue_throttled_tasks", "Ready tasks that a throttle holds back.", "queue")
	oldest    = desc("queue_oldest_task_seconds", "How long the oldest task has been ready.", "queue")
	paused    = desc("queue_paused", "Whether a queue is paused.", "queue")
)

// The metrics of workers, by pools and one by one.
var (
	workers  = desc("workers", "Workers of a pool and its spares.", "pool", "state")
	deaths   = desc("worker_deaths_total", "Lives of workers that have failed.", "pool", "cause")
	restarts = desc("worker_restarts_total", "Lives of workers that have followed on another one.", "pool")
	memory   = descOfWorker("memory_bytes", "Resident memory of a worker.")
	private  = descOfWorker("private_memory_bytes", "Resident memory of a worker that no other process has.")
	cpu      = descOfWorker("cpu_seconds_total", "Processor time of a worker, over all lives that were seen.")
	busy     = descOfWorker("busy_seconds_total", "Time that a worker has spent in tasks.")
	ended    = descOfWorker("tasks_total", "Attempts at tasks that a worker has ended.")
	messages = descOfWorker("messages_total", "Messages and calls that a worker has handled.")
)

// The metrics of the whole program.
var (
	started = desc("start_time_seconds", "When the program was started, since 1970.")
	handled = desc("messages_handled_total", "Messages and calls that workers have handled.")
	failed  = desc("messages_failed_total", "Messages whose handler has returned an error.")
	letters = desc("dead_letters_total", "Messages that no handler has taken.")
	frames  = desc("wire_frames_total", "Frames between main and workers.", "direction")
	bytes   = desc("wire_bytes_total", "Bytes of frames between main and workers.", "direction")
	writes  = desc("wire_writes_total", "Writes of main to the pipes of workers.")
	blocked = desc("wire_blocked_messages", "Messages and calls that wait for room with their receiver.")
	shared  = desc("wire_shared_memory_bytes", "Bodies in memory that main shares with workers.")
)

var all = []*prometheus.Desc{
	started, received, tasks, retries, run, wait, queued, throttled, oldest, paused, workers, deaths, restarts, memory,
	private, cpu, busy, ended, messages, handled, failed, letters, frames, bytes, writes, blocked, shared,
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range all {
		ch <- d
	}
}

// The values of labels of which each is shown, also while it counts nothing: so that the first one
// is an increase.
var (
	states = []multiprolab.WorkerState{
		multiprolab.StateWaiting, multiprolab.StateStarting, multiprolab.StateSetup, multiprolab.StateSpare,
		multiprolab.StateReady, multiprolab.StateBusy, multiprolab.StateStopping, multiprolab.StateRestarting,
		multiprolab.StateStopped, multiprolab.StateFailed,
	}
	causes = []multiprolab.DeathCause{
		multiprolab.CauseExit, multiprolab.CausePanic, multiprolab.CauseSignal, multiprolab.CauseMemory,
		multiprolab.CauseHang, multiprolab.CauseTask, multiprolab.CauseKill, multiprolab.CauseLate,
		multiprolab.CauseWire, multiprolab.CauseStart, multiprolab.CauseRace, multiprolab.CauseError,
	}
)

// sink takes the metrics of one scrape.
type sink chan<- prometheus.Metric

func (s sink) counter(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Collect implements prometheus.Collector. It takes one snapshot.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	// Two scrapes at once come one after the other, so that the later one does not show less.
	c.mu.Lock()
	defer c.mu.Unlock()
	s, to := c.source.Stats(), sink(ch)
	if !s.Started.IsZero() {
		to.gauge(started, float64(s.Started.UnixNano())/1e9)
	}
	for i := range s.Types {
		c.collectType(to, &s.Types[i])
	}
	for i := range s.Queues {
		collectQueue(to, &s.Queues[i])
	}
	c.collectWorkers(to, s)
	to.counter(handled, float64(s.Messages.Handled))
	to.counter(failed, float64(s.Messages.Failed))
	to.counter(letters, float64(s.Messages.DeadLetters))
	to.counter(frames, float64(s.Wire.FramesSent), "sent")
	to.counter(frames, float64(s.Wire.FramesReceived), "received")
	to.counter(bytes, float64(s.Wire.BytesSent), "sent")
	to.counter(bytes, float64(s.Wire.BytesReceived), "received")
	to.counter(writes, float64(s.Wire.Writes))
	to.gauge(blocked, float64(s.Wire.Blocked))
	to.gauge(shared, float64(s.Wire.Shared))
}

func (c *Collector) collectType(to sink, t *multiprolab.TypeStats) {
	name := label(t.Type)
	to.counter(received, float64(t.Received), name)
	to.counter(tasks, float64(t.Succeeded), name, "succeeded")
	to.counter(tasks, float64(t.Failed), name, "failed")
	to.counter(tasks, float64(t.Cancelled), name, "cancelled")
	to.counter(retries, float64(t.Retried), name)
	c.histogram(to, run, &t.Run, name)
	c.histogram(to, wait, &t.Wait, name)
}

// histogram shows a histogram in the buckets of the Config.
func (c *Collector) histogram(to sink, d *prometheus.Desc, h *multiprolab.Histogram, label string) {
	buckets := make(map[float64]uint64, len(c.buckets))
	var n uint64
	i := 0
	for _, bound := range c.buckets {
		for i < len(h.Buckets) && h.Buckets[i].Bound.Seconds() <= bound {
			n += h.Buckets[i].Count
			i++
		}
		buckets[bound] = n
	}
	to <- prometheus.MustNewConstHistogram(d, h.Count, h.Sum.Seconds(), buckets, label)
}

func collectQueue(to sink, q *multiprolab.QueueStats) {
	name := label(q.Name)
	to.gauge(queued, float64(q.Ready), name, "ready")
	to.gauge(queued, float64(q.Delayed), name, "delayed")
	to.gauge(queued, float64(q.Blocked), name, "blocked")
	to.gauge(queued, float64(q.Assigned), name, "assigned")
	to.gauge(queued, float64(q.Running), name, "running")
	to.gauge(queued, float64(q.Dead), name, "dead")
	to.gauge(throttled, float64(q.Throttled), name)
	to.gauge(oldest, q.Oldest.Seconds(), name)
	is := 0.0
	if q.Paused {
		is = 1
	}
	to.gauge(paused, is, name)
}

func (c *Collector) collectWorkers(to sink, s *multiprolab.Stats) {
	present := make(map[string]lives, len(s.Workers))
	in := map[[2]string]int{} // how many workers of a pool are in a state
	for i := range s.Workers {
		w := &s.Workers[i]
		pool, name := label(w.Pool), label(w.Name)
		in[[2]string{pool, string(w.State)}]++
		l := c.cpu[w.Name].then(w.Life, w.Process.CPU)
		present[w.Name] = l
		to.gauge(memory, float64(w.Process.Resident), pool, name)
		to.gauge(private, float64(w.Process.Private), pool, name)
		to.counter(cpu, (l.earlier + l.last).Seconds(), pool, name)
		to.counter(busy, w.Busy.Seconds(), pool, name)
		to.counter(ended, float64(w.Tasks), pool, name)
		to.counter(messages, float64(w.Messages), pool, name)
	}
	c.cpu = present
	for i := range s.Pools {
		p := &s.Pools[i]
		name := label(p.Name)
		for _, state := range states {
			to.gauge(workers, float64(in[[2]string{name, string(state)}]), name, string(state))
		}
		for _, cause := range causes {
			to.counter(deaths, float64(p.Deaths[cause]), name, string(cause))
		}
		to.counter(restarts, float64(p.Restarts), name)
	}
}

// then returns the processor time when a life has used so much.
func (l lives) then(life int, used time.Duration) lives {
	if life != l.life {
		l.earlier += l.last
		l.life, l.last = life, 0
	}
	l.last = max(l.last, used) // a process that is gone has used nothing, as the system says
	return l
}

// other is the label of what is counted together. No type and no queue has such a name.
const other = "(other)"

// maxLabel is the greatest length of a label in bytes.
const maxLabel = 200

// label makes the value of a label of a name: the name itself, as those of the library are. A name
// that is too long or no UTF-8 is cut, and told from others by a checksum.
func label(name string) string {
	switch {
	case name == "":
		return other
	case len(name) <= maxLabel && utf8.ValidString(name):
		return name
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name)) // a hash has no errors
	cut := name[:min(len(name), maxLabel-20)]
	return fmt.Sprintf("%s~%016x", strings.ToValidUTF8(cut, ""), sum.Sum64())
}
