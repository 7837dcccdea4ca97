package multiprolab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// The ledger test: many tasks over workers that are killed at random and at each step of the
// protocol, and an account of every one of them in the end. go test -run Ledger -seed N replays a
// run, as far as the kills from outside can be repeated; make ledger is the large one.
var (
	ledgerSeed = flag.Uint64("seed", 0, "of the ledger test; 0 chooses one")
	// In a run of the default size some 95 workers die, and each of the steps is died at some 7
	// times. Half of its time is for the starts of the replacements.
	ledgerTasks = flag.Int("ledger", 4_000, "number of tasks of the ledger test")
)

// TestLedger: every accepted task has exactly one ledgerOutcome, which agrees with what the workers
// noted; attempts are charged to what had begun and to nothing else; what was written before a
// death stands; all counts add up, and nothing is left. (A01 to A06, B01, B06, B07, B12, C09, X1,
// X2, and the guarantees for tasks.)
func TestLedger(t *testing.T) { testLedger(t, *ledgerTasks, nil) }

// TestLedgerBackend: the same, with the tasks in a Backend of the user, which takes its time.
func TestLedgerBackend(t *testing.T) {
	testLedger(t, *ledgerTasks/4, &multiprolab.Config{Backend: distantBackend{backend.NewMemory()}})
}

// distantBackend is a Backend with a network before it.
type distantBackend struct{ backend.Backend }

func (distantBackend) travel() { time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) }

func (b distantBackend) Enqueue(ctx context.Context, tasks ...backend.Task) ([]backend.Receipt, error) {
	b.travel()
	defer b.travel()
	return b.Backend.Enqueue(ctx, tasks...)
}

func (b distantBackend) Fetch(ctx context.Context, queue string, credit int) ([]backend.Lease, error) {
	b.travel()
	defer b.travel()
	return b.Backend.Fetch(ctx, queue, credit)
}

func testLedger(t *testing.T, tasks int, cfg *multiprolab.Config) {
	r := newLedgerRun(t, tasks, cfg)
	r.start(t)
	r.submitAll(t)
	r.stopKilling()
	if err := r.lab.Tasks().Join(bounded(t)); err != nil {
		r.fault("Join: %v; the queue holds:\n%s\nlives: %v", err, strings.Join(r.lab.Tasks().Residue(), "\n"), r.living)
	}
	r.stats = r.lab.Tasks().Stats()
	eventually(
		t,
		"the queue to be empty",
		func() bool { return len(r.lab.Tasks().Residue()) == 0 || r.tell(t, r.lab.Tasks().Residue()) },
	)
	r.dead = len(r.lab.Tasks().Dead())
	require.NoError(t, r.lab.Close())
	r.check(t)
}

// TestLedgerShutdown: the same, for programs that are ended in each of the three ways while their
// workers die.
func TestLedgerShutdown(t *testing.T) {
	for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.DrainQueue, multiprolab.KillAll} {
		t.Run(mode.String(), func(t *testing.T) {
			r := newLedgerRun(
				t,
				max(1000, *ledgerTasks/10),
				&multiprolab.Config{Shutdown: mode, ShutdownTimeout: 5 * time.Second},
			)
			r.exitAt = int64(1 + r.rng.IntN(r.book.n/2))
			r.start(t)
			r.submitAll(t)
			r.stopKilling()
			err := r.lab.Close()
			if killed := new(multiprolab.ShutdownError); mode != multiprolab.KillAll || !errors.As(err, &killed) {
				require.NoError(t, err)
			}
			r.stats, r.dead = r.lab.Tasks().Stats(), len(r.lab.Tasks().Dead())
			r.check(t)
		})
	}
}

// ledgerRun is one run. It exists in main.
type ledgerRun struct {
	seed   uint64
	rng    *rand.Rand // of the goroutine that kills, once it runs
	book   *book
	lab    *lab
	exitAt int64 // outcomes after which the program is ended; 0: never
	mode   multiprolab.ShutdownMode
	before struct {
		goroutines goleak.Option
		children   []int
		files      int
	}

	ctx      context.Context // ends when nothing goes on any more
	ended    atomic.Int64    // outcomes that have come
	progress chan struct{}
	done     chan struct{} // closed by stopKilling
	helpers  sync.WaitGroup

	mu       sync.Mutex
	outcomes []ledgerOutcome // by task
	accepted map[int]bool    // of those that nobody sees the ledgerOutcome of
	unnamed  map[kind]int    // outcomes of tasks that their submitter cannot tell apart
	faults   []string        // what is wrong
	living   []lifeKey       // lives that may be killed
	pids     map[lifeKey]int
	killed   map[lifeKey]bool // from outside
	resumes  sync.WaitGroup   // stopped workers that are to go on, or die
	toldAt   int64

	stats multiprolab.TaskStats // in the end
	dead  int                   // dead letters
}

func newLedgerRun(t *testing.T, tasks int, cfg *multiprolab.Config) *ledgerRun {
	seed := *ledgerSeed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000_000)
	}
	t.Logf("seed %d, %d tasks", seed, tasks)
	r := &ledgerRun{
		seed:     seed,
		rng:      rand.New(rand.NewPCG(seed, 1<<63)),
		progress: make(chan struct{}, 1),
		done:     make(chan struct{}),
		outcomes: make(
			[]ledgerOutcome,
			tasks,
		),
		accepted: map[int]bool{},
		unnamed:  map[kind]int{},
		pids:     map[lifeKey]int{},
		killed:   map[lifeKey]bool{},
	}

	path := filepath.Join(t.TempDir(), "book")
	head := make([]byte, bookHead)
	binary.LittleEndian.PutUint64(head, seed)
	binary.LittleEndian.PutUint32(head[8:], uint32(tasks))
	require.NoError(t, os.WriteFile(path, head, 0o600))
	require.NoError(t, os.Truncate(path, int64(bookSize(tasks))))
	var err error
	r.book, err = openBook(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.book.unmap()) })

	var c multiprolab.Config
	if cfg != nil {
		c = *cfg
	}
	c.QueueLimit, c.DeadLimit, c.OnEvent, r.mode = 200, tasks, r.observe, c.Shutdown
	pool := func(name string, cfg multiprolab.WorkerConfig) pool {
		cfg.Process.Env = []string{ledgerEnv + "=" + path}
		cfg.RestartLimit.Restarts, cfg.RestartDelay, cfg.RestartMaxDelay = 1<<30, time.Millisecond, 5*time.Millisecond
		return pool{name, &cfg}
	}
	// thousands of deaths say much; the faults say what matters
	c.Stderr, c.Logger = io.Discard, slog.New(slog.DiscardHandler)
	r.lab = newLab(t, &c,
		pool("ledger-work", multiprolab.WorkerConfig{Count: 3, MaxTasks: 200}),
		pool("ledger-pull", multiprolab.WorkerConfig{MaxTasks: 20}),
		pool("ledger-hog", multiprolab.WorkerConfig{Limits: multiprolab.Limits{Memory: ledgerMemory()}}),
		pool("ledger-submit", multiprolab.WorkerConfig{}),
		pool("ledger-orphan", multiprolab.WorkerConfig{}))
	return r
}

func (r *ledgerRun) start(t *testing.T) {
	pr, pw, err := os.Pipe() // so that the runtime has its poller, which takes descriptors
	require.NoError(t, err)
	require.NoError(t, errors.Join(pr.Close(), pw.Close()))
	r.before.goroutines, r.before.children = goleak.IgnoreCurrent(), children()
	if runtime.GOOS == "linux" {
		r.before.files = openFiles(t)
	}
	require.NoError(t, r.lab.Start(context.Background()))
	t.Cleanup(func() { _ = r.lab.Close() })
	ctx, cancel := context.WithCancelCause(context.Background())
	r.ctx = ctx
	stop := make(chan struct{})
	r.helpers.Go(func() { // ends with stopKilling
		r.kill()
		close(stop)
	})
	r.helpers.Go(func() { // ends with kill
		timer := time.NewTicker(patience)
		defer timer.Stop()
		for last := int64(-1); ; {
			select {
			case <-timer.C:
			case <-stop:
				return
			}
			now := r.ended.Load()
			if now == last {
				r.fault(
					"no ledgerOutcome has come for %v; the queue holds:\n%s",
					patience,
					strings.Join(r.lab.Tasks().Residue(), "\n"),
				)
				cancel(errors.New("nothing goes on any more"))
				return
			}
			last = now
		}
	})
	t.Cleanup(func() { cancel(nil) })
}

// fault notes what is wrong.
func (r *ledgerRun) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// tell logs what is left in the queue, now and then, and returns false.
func (r *ledgerRun) tell(t *testing.T, left []string) bool {
	if now := time.Now().Unix(); now > r.toldAt+5 {
		r.toldAt = now
		t.Logf("the queue still holds: %v", left)
	}
	return false
}

// observe keeps the list of the living. It is called with each event.
func (r *ledgerRun) observe(e multiprolab.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := func(worker string, life int) {
		r.living = slices.DeleteFunc(r.living, func(k lifeKey) bool { return k == lifeKey{worker, life} })
	}
	switch e := e.(type) {
	case *multiprolab.WorkerStarted:
		k := lifeKey{e.Worker, e.Life}
		r.pids[k] = e.PID
		// the first is needed for the program to start
		if e.Life > 1 && !strings.HasPrefix(e.Worker, "ledger-submit/") {
			r.living = append(r.living, k)
		}
	case *multiprolab.WorkerReady:
		if e.Life == 1 && !strings.HasPrefix(e.Worker, "ledger-submit/") {
			r.living = append(r.living, lifeKey{e.Worker, e.Life})
		}
	case *multiprolab.WorkerFailed:
		gone(e.Worker, e.Life)
	case *multiprolab.WorkerStopped:
		gone(e.Worker, e.Life)
	}
}

// kill kills workers from outside, or stops them for a while, as outcomes come in.
func (r *ledgerRun) kill() {
	for next := int64(0); ; {
		select {
		case <-r.progress:
		case <-r.done:
			return
		}
		now := r.ended.Load()
		if s := r.lab.Tasks().Stats(); s.Received != s.Succeeded+s.Failed+s.Cancelled+s.Queued+s.Running {
			r.fault("the counts do not add up: %+v", s)
		}
		if r.exitAt > 0 && now >= r.exitAt {
			r.lab.Exit()
		}
		if now < next {
			continue
		}
		next = now + 20 + r.rng.Int64N(150)
		r.strike(
			r.rng.IntN(1000),
			r.rng.IntN(10) < 3,
			r.rng.IntN(3) == 0,
			time.Duration(r.rng.Int64N(int64(60*time.Millisecond))),
		)
	}
}

// strike kills one of the living, or stops it for the time d.
func (r *ledgerRun) strike(n int, stop, thenKill bool, d time.Duration) {
	r.mu.Lock()
	if len(r.living) == 0 {
		r.mu.Unlock()
		return
	}
	k := r.living[n%len(r.living)]
	pid := r.pids[k]
	r.mu.Unlock()
	// on Linux a handle of the process itself, which no other with its pid can be taken for
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	stop = stop && signalStop != nil
	if runtime.GOOS == "linux" && !slices.Contains(children(), pid) {
		_ = p.Release()
		return
	}
	if stop {
		_ = p.Signal(signalStop)
		r.resumes.Add(1)
		time.AfterFunc(d, func() {
			defer r.resumes.Done()
			defer p.Release()
			if thenKill {
				r.end(k, p)
			} else {
				_ = p.Signal(signalCont)
			}
		})
		return
	}
	r.end(k, p)
	_ = p.Release()
}

func (r *ledgerRun) end(k lifeKey, p *os.Process) {
	r.mu.Lock()
	r.killed[k] = true
	r.mu.Unlock()
	_ = p.Kill()
}

// stopKilling ends the violence, and what watches over the test.
func (r *ledgerRun) stopKilling() {
	close(r.done)
	r.helpers.Wait()
	r.resumes.Wait()
}

// count notes that outcomes have come.
func (r *ledgerRun) count(n int) {
	r.ended.Add(int64(n))
	select {
	case r.progress <- struct{}{}:
	default:
	}
}

func (r *ledgerRun) record(o ledgerOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes[o.Task].Kind != unseen {
		r.faults = append(r.faults, fmt.Sprintf("task %d has two outcomes: %+v and %+v", o.Task, r.outcomes[o.Task], o))
	}
	r.outcomes[o.Task] = o
}

// submitAll submits all tasks, from all sides, and returns when they have their outcomes.
func (r *ledgerRun) submitAll(t *testing.T) {
	var chunks [5][]int
	for first := 0; first < r.book.n; first += ledgerChunk {
		s := sourceOf(first)
		chunks[s] = append(chunks[s], first)
	}
	var submitters sync.WaitGroup
	submit := func(firsts []int, chunk func(first, end int) error) {
		submitters.Go(func() { // ends with its last chunk
			for _, first := range firsts {
				if err := chunk(first, min(first+ledgerChunk, r.book.n)); err != nil {
					killed := r.exitAt > 0 && r.mode == multiprolab.KillAll &&
						errors.As(err, new(*multiprolab.WorkerDiedError))
					if (r.exitAt == 0 || !errors.Is(err, multiprolab.ErrStopped)) && !killed {
						r.fault("the chunk from %d on ended early: %v", first, err)
					}
					return
				}
			}
		})
	}
	mains := chunks[fromMain]
	for n := range 3 {
		var own []int
		for i := n; i < len(mains); i += 3 {
			own = append(own, mains[i])
		}
		submit(own, func(first, end int) error {
			_, err := submitChunk(r.ctx, r.lab.Main, r.seed, first, end, func(o ledgerOutcome) {
				r.record(o)
				r.count(1)
			})
			return err
		})
	}
	submit(chunks[fromMap], r.submitMap)
	submit(chunks[fromUnorderedMap], r.submitUnordered)
	submit(chunks[fromWorker], func(first, end int) error {
		all, err := multiprolab.Call[[]ledgerOutcome](r.ctx, r.lab.Main, "ledger-submit", "submit", first)
		for _, o := range all {
			r.record(o)
		}
		r.count(len(all))
		return err
	})
	submit(chunks[fromOrphan], func(first, end int) error {
		_, err := multiprolab.Call[int](r.ctx, r.lab.Main, "ledger-orphan", "submit", first)
		if died := new(multiprolab.WorkerDiedError); errors.As(err, &died) {
			err = nil // it was killed, and is replaced
		}
		return err
	})
	submitters.Wait()
}

// bodies yields the bodies of tasks, and notes that they are being submitted.
func (r *ledgerRun) bodies(first, end int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := first; i < end; i++ {
			r.mu.Lock()
			r.accepted[i] = true
			r.mu.Unlock()
			if !yield(ledgerBody(i)) {
				return
			}
		}
	}
}

// submitMap maps a chunk in order. Every fifth is left in the middle.
func (r *ledgerRun) submitMap(first, end int) error {
	leave := end
	if first/ledgerChunk/8%5 == 4 {
		leave = (first + end) / 2
	}
	i := first
	for result, err := range multiprolab.Map[[]byte](r.ctx, r.lab, "work", r.bodies(first, end), &multiprolab.MapConfig{Window: 30, Task: mapOptions(fromMap)}) {
		if err != nil && (r.ctx.Err() != nil || r.exitAt > 0 && errors.Is(err, multiprolab.ErrStopped)) {
			return err
		}
		r.record(outcomeOf(i, planOf(r.seed, i), result, err))
		r.count(1)
		if i++; i == leave {
			break
		}
	}
	return nil
}

// submitUnordered maps a chunk as results come. Of an error nobody can tell whose it is.
func (r *ledgerRun) submitUnordered(first, end int) error {
	cfg := &multiprolab.MapConfig{Window: 30, Unordered: true, Task: mapOptions(fromUnorderedMap)}
	n := 0
	for result, err := range multiprolab.Map[[]byte](r.ctx, r.lab, "work", r.bodies(first, end), cfg) {
		if err != nil && (r.ctx.Err() != nil || r.exitAt > 0 && errors.Is(err, multiprolab.ErrStopped)) {
			return err
		}
		n++
		r.count(1)
		if err == nil {
			i := ledgerIndex(result)
			if i < first || i >= end {
				return fmt.Errorf("a result of task %d came", i)
			}
			r.record(outcomeOf(i, planOf(r.seed, i), result, nil))
			continue
		}
		o := outcomeOf(first, planOf(r.seed, first), nil, err)
		r.mu.Lock()
		r.unnamed[o.Kind]++
		r.mu.Unlock()
		if o.Kind != died && o.Kind != failed {
			r.fault("a task of the map from %d on ended with %v", first, err)
		}
	}
	if n != end-first {
		return fmt.Errorf("%d results came", n)
	}
	return nil
}

// check checks everything when nothing runs any more.
func (r *ledgerRun) check(t *testing.T) {
	deaths := r.checkDeaths()
	sums := map[kind]int{}
	executions, orphansLeast, orphansMost, unknown := 0, 0, 0, 0
	for i := range r.outcomes {
		o, p := &r.outcomes[i], planOf(r.seed, i)
		executions += r.book.count(i, began)
		if p.source == fromOrphan {
			orphansLeast += r.book.count(i, submitWritten)
			orphansMost += r.book.count(i, submitMarked)
		} else if o.Kind == unseen && r.accepted[i] {
			unknown++
		}
		sums[o.Kind]++
		for _, why := range r.judge(i, p, o, deaths) {
			r.fault(
				"task %d (%d attempts, %+v) ended with %+v: %s; noted: %v",
				i,
				p.opts.Attempts,
				p.fates[:max(1, p.opts.Attempts)],
				*o,
				why,
				r.columns(i),
			)
		}
	}
	for k, n := range r.unnamed {
		sums[k] += n
		unknown -= n
	}
	r.checkSums(t, sums, orphansLeast, orphansMost, unknown)

	if err := goleak.Find(r.before.goroutines); err != nil {
		r.fault("%v", err)
	}
	if left := slices.DeleteFunc(children(), func(pid int) bool { return slices.Contains(r.before.children, pid) }); len(
		left,
	) > 0 {
		r.fault("processes are left: %v", left)
	}
	if runtime.GOOS == "linux" {
		if now := openFiles(t); now > r.before.files {
			r.fault("%d descriptors were open before, and %d are after", r.before.files, now)
		}
	}
	t.Logf(
		"%d executions; outcomes %v; %d planned deaths %v, %d lives killed from outside, %d lives",
		executions,
		sums,
		len(r.book.notes()),
		r.steps(),
		len(r.killed),
		len(r.pids),
	)
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, f := range r.faults {
		if n == 20 {
			t.Errorf("and %d more", len(r.faults)-n)
			break
		}
		t.Error(f)
	}
	if t.Failed() {
		t.Logf("replay with: go test -run '%s' -seed %d -ledger %d", t.Name(), r.seed, *ledgerTasks)
	}
}

func (r *ledgerRun) columns(i int) (n [columns]int) {
	for c := range columns {
		n[c] = r.book.count(i, c)
	}
	return n
}

func (r *ledgerRun) steps() map[string]int {
	steps := map[string]int{}
	for _, n := range r.book.notes() {
		steps[n.step]++
	}
	return steps
}

// checkDeaths checks that each death was told once and has a cause, and that each cause had its
// death. It returns the planned causes of each.
func (r *ledgerRun) checkDeaths() map[lifeKey][]note {
	planned := map[lifeKey][]note{}
	for _, n := range r.book.notes() {
		planned[n.lifeKey] = append(planned[n.lifeKey], n)
	}
	ends, failed := map[lifeKey]int{}, map[lifeKey]bool{}
	for _, e := range r.lab.all() {
		var k lifeKey
		switch e := e.(type) {
		case *multiprolab.WorkerStopped:
			k = lifeKey{e.Worker, e.Life}
		case *multiprolab.WorkerFailed:
			k = lifeKey{e.Worker, e.Life}
			failed[k] = true
			d := new(multiprolab.WorkerDiedError)
			if !errors.As(e.Err, &d) {
				r.fault("life %v failed without dying: %v", k, e.Err)
				break
			}
			byMain := strings.Contains(d.Reason, "did not return within the grace")
			if !byMain && !r.killed[k] && !slices.ContainsFunc(planned[k], func(n note) bool { return n.fits(d, e.Err) }) {
				if r.exitAt == 0 || d.Reason == "" {
					r.fault("life %v died of what nobody did to it: %v; planned %v; stderr:\n%s", k, e.Err, planned[k], d.Stderr)
				}
			}
			if strings.Contains(d.Reason, "broke the wire") {
				r.fault("life %v: %v", k, e.Err)
			}
		default:
			continue
		}
		ends[k]++
	}
	for k := range r.pids {
		if ends[k] != 1 {
			r.fault("the end of life %v was told %d times", k, ends[k])
		}
		if len(planned[k]) > 0 && !failed[k] && (r.exitAt == 0 || r.mode != multiprolab.KillAll) {
			r.fault("the death of life %v was not told: %v", k, planned[k])
		}
	}
	return planned
}

// fits reports whether a worker died of what was planned.
func (n note) fits(d *multiprolab.WorkerDiedError, err error) bool {
	switch n.how {
	case "exit 0":
		return d.ExitCode == 0 && d.Signal == ""
	case "exit 1":
		return d.ExitCode == 1
	case "panic":
		return d.ExitCode == 2 && strings.Contains(d.Stderr, "a test panics")
	case "SIGKILL":
		return d.Signal == "SIGKILL" || runtime.GOOS == "windows" && d.ExitCode == 137
	case "memory":
		return errors.As(err, new(*multiprolab.MemoryLimitError))
	}
	return false
}

// judge says what is wrong with what became of a task.
func (r *ledgerRun) judge(i int, p *plan, o *ledgerOutcome, deaths map[lifeKey][]note) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	most := max(1, p.opts.Attempts)
	n := r.columns(i)
	// what is past its time or cancelled may end so in spite of a result
	cut := p.opts.Timeout == 50*time.Millisecond || p.cancel != ""

	// Executions: never more than the attempts, and none that main was not told of.
	if n[began] > n[startWritten] || n[startWritten] > n[startMarked] {
		say("its handler was called %d times, and Start written %d times", n[began], n[startWritten])
	}
	if n[startWritten] > most {
		say("it was started %d times", n[startWritten])
	}
	if n[acceptances] > 1 || n[answered] > 1 ||
		p.source == fromWorker && n[answered] != 1 && o.Kind != unseen && o.Kind != stopped {
		say("its submitter got %d answers", n[answered])
	}
	if p.source == fromOrphan && n[startMarked] > 0 && n[submitMarked] != 1 {
		say("it was started, and submitted %d times", n[submitMarked])
	}

	// The number of attempts that were charged to it, where it can be told.
	charged := -1
	ends := []ledgerOutcome{*o}
	switch o.Kind {
	case unseen, cancelled, stopped:
		ends = nil
	case refused, withdrawn:
		charged, ends = 0, nil
	case succeeded:
		charged, ends = o.Attempt, nil
	case usedUp:
		charged, ends = len(o.Ends), o.Ends
		if charged != most || most == 1 {
			say("it was given up after %d attempts", charged)
		}
	default:
		if most == 1 {
			charged = 1
		} else if r.exitAt == 0 {
			say("it was not tried again")
		}
	}
	if charged >= 0 && (n[startWritten] > charged || charged > n[startMarked]) {
		say(
			"it was charged %d attempts, but Start was written %d times and was about to be %d times",
			charged,
			n[startWritten],
			n[startMarked],
		)
	}

	// What was written stands.
	if n[successWritten] > 1 || n[successWritten] > 0 && o.Kind != succeeded && o.Kind != unseen && !cut {
		say("a result was written")
	}
	failures := 0
	for _, end := range ends {
		if end.Kind == failed {
			failures++
		}
	}
	if (o.Kind == usedUp || charged == 1 && o.Kind != succeeded) && n[failureWritten] > failures && !cut {
		say("%d errors were written", n[failureWritten])
	}

	// Each end is one that was planned, or was brought about.
	switch o.Kind {
	case unseen:
		if p.source != fromOrphan && p.source != fromMap && p.source != fromUnorderedMap && r.exitAt == 0 {
			say("it has no outcome")
		}
	case cancelled:
		if p.cancel == "" && (r.exitAt == 0 || p.source == fromMain) {
			say("nobody cancelled it")
		}
	case stopped:
		if r.exitAt == 0 {
			say("the program was not ended")
		}
		if most == 1 && n[startWritten] > 0 && r.mode != multiprolab.KillAll {
			say("it had been started")
		}
		if r.mode == multiprolab.DrainQueue && (p.source != fromWorker || n[acceptances] > 0) {
			say("the queue was to be drained")
		}
	case refused:
		if !p.try {
			say("it was to wait for room")
		}
	case withdrawn:
		if !p.withdraw {
			say("nobody withdrew it")
		}
	case strange:
		say("there is no such end")
	case succeeded:
		if f := p.fates[max(1, o.Attempt)-1]; o.Attempt < 1 || f.act != "" || f.step == stepHandler ||
			f.step == stepBegun ||
			f.step == stepUnsent ||
			f.step == stepHalfSent {
			say("attempt %d cannot succeed", o.Attempt)
		}
	}
	if most > 1 && o.Kind != usedUp {
		ends = nil // the program ended, and with it the attempts: who knows after which
	}
	for attempt, end := range ends {
		f := p.fates[attempt]
		switch end.Kind {
		case failed:
			if f.act == "" {
				say("attempt %d cannot fail", attempt+1)
			}
		case timedOut:
			if !slices.Contains([]string{"stop", "spin", "dawdle"}, f.act) && p.opts.Timeout != 50*time.Millisecond {
				say("attempt %d had no deadline", attempt+1)
			}
		case died, diedOfMemory:
			k := lifeKey{end.Died.Worker, end.Died.Life}
			if r.killed[k] ||
				r.exitAt > 0 && end.Died.Reason != "" && !strings.Contains(end.Died.Reason, "broke the wire") {
				break
			}
			ok := slices.ContainsFunc(deaths[k], func(n note) bool {
				if n.task == i && (n.step == stepUnread || n.step == stepUnbegun) {
					return false
				}
				return end.Kind == diedOfMemory || n.fits(end.Died, end.Died)
			})
			if !ok {
				say("attempt %d died with life %v, whose planned deaths are %v", attempt+1, k, deaths[k])
			}
		default:
			say("attempt %d cannot end so", attempt+1)
		}
	}
	return wrong
}

// checkSums checks that the counts of the queue are the sums of the ledger. unknown tasks were
// accepted and have an ledgerOutcome that nobody saw, the orphans likewise.
func (r *ledgerRun) checkSums(t *testing.T, sums map[kind]int, orphansLeast, orphansMost, unknown int) {
	s := r.stats
	if s.Received != s.Succeeded+s.Failed+s.Cancelled || s.Queued+s.Running != 0 {
		r.fault("the counts do not add up in the end: %+v", s)
	}
	if r.exitAt > 0 { // the program ended while tasks were on their way to the queue
		return
	}
	blocked := 0
	for i := range r.outcomes {
		if o := &r.outcomes[i]; o.Kind == withdrawn && strings.Contains(o.Text, "waited for room") {
			blocked++
		}
	}
	bad := sums[failed] + sums[died] + sums[diedOfMemory] + sums[timedOut] + sums[usedUp]
	seen := sums[succeeded] + bad + sums[cancelled] + blocked
	between := func(what string, got uint64, least, most int) {
		if int(got) < least || int(got) > most {
			r.fault("%s: the queue counts %d, the ledger at least %d and at most %d", what, got, least, most)
		}
	}
	between("received", s.Received, seen+unknown+orphansLeast, seen+unknown+orphansMost)
	more := unknown + orphansMost
	between("succeeded", s.Succeeded, sums[succeeded], sums[succeeded]+more)
	between("failed", s.Failed, bad, bad+more)
	between("cancelled", s.Cancelled, sums[cancelled]+blocked, sums[cancelled]+blocked+more)
	between("dead letters", uint64(r.dead), sums[usedUp], sums[usedUp]+more)
	var missing []string
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		missing = append(missing, strconv.Itoa(int(k)))
	}
	if len(sums) < 7 && r.book.n >= 5_000 {
		r.fault("only the kinds of outcomes %v came: the test does not test what it should", missing)
	}
}

// TestC08_CancelPendingFreesKeys: a task that was the next of its key, and is cancelled before a
// worker has it, holds up no other. (Found by reading; the ledger cancels one by one.)
func TestC08_CancelPendingFreesKeys(t *testing.T) {
	l := startLab(t, nil, workers("lab", 2))
	ctx := bounded(t)
	begun := make(chan struct{})
	multiprolab.Handle(l, "blocked", func(context.Context, int) error { close(begun); return nil })
	keyed := &multiprolab.TaskOptions{Key: "k"}
	first, err := multiprolab.Submit[int](ctx, l, "block", struct{}{}, keyed)
	require.NoError(t, err)
	await(t, begun, "the first task to begin")
	second, err := multiprolab.Submit[string](ctx, l, "echo", "second", keyed)
	require.NoError(t, err)
	l.Tasks().Pause(multiprolab.DefaultQueue)
	first.Cancel() // the key passes to the second, which nobody takes
	_, err = first.Wait(ctx)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	require.Equal(t, 1, l.Tasks().CancelPending(""))
	_, err = second.Wait(ctx)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	l.Tasks().Resume(multiprolab.DefaultQueue)
	text, err := multiprolab.DoWith[string](ctx, l, "echo", "third", keyed)
	require.NoError(t, err)
	require.Equal(t, "third", text)
	require.Empty(t, l.Tasks().Residue())
}
