package multiprolab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sdnotify"
	"github.com/multiprolab/multiprolab/internal/wire"
)

var (
	errNotStarted = errors.New("multiprolab: the workers have not been started: call Run or Start first")
	errTwice      = errors.New(
		"multiprolab: Run or Start was called before on this Main: make a new one with New for each life, with a " +
			"Config.Name of its own",
	)
	errOnlyMain = errors.New("multiprolab: this works only in the main process")
)

// Main is the main process's view of the whole: it starts the workers, routes the messages, owns
// the task queue and sees to it that nothing is left in the end. It exists in the main process; in
// a worker process the same code makes one too, which ends in Run. All methods may be called from
// any goroutine, but those that register something only before Run or Start.
type Main struct {
	*node
	registry
	origin
	milestones
	standing
	// cfg is the configuration, with the defaults filled in. It never changes.
	cfg Config
	// fleet, router, broker and queue are the parts that carry out the rules: of lives, of messages
	// and, both, of tasks. They never change.
	fleet  *workerFleet
	router *MessageRouter
	broker *broker
	queue  *TaskQueue
	// stdout and stderr are where the workers' output goes. They guard themselves.
	stdout *sharedWriter
	stderr *sharedWriter
	// watchers are who watches the workers. They guard themselves.
	watchers watchers
	// own are the loops that this process runs. They guard themselves.
	own ownLoops
	// service is the service manager, or nil. Run sets it at first.
	service *sdnotify.Notifier
}

// origin is what a Main is made from, and what process it is in. But for made and nested
// it is set by prepare, and never changes after that.
type origin struct {
	// made is where New was called.
	made *site
	// nested says that the Main was made or started inside a worker, and belongs to that.
	nested bool
	// identity is that of the program's file.
	identity string
	// path is that of the worker that the Main runs in, if it runs in one.
	path []string
	// outer are the names of the Mains around this one then.
	outer []string
	// depth is the number of these Mains.
	depth int
	// procs is GOMAXPROCS of main, or 0 if the environment says it.
	procs int
	// oomScoreAdj is that of main.
	oomScoreAdj int
	// kernelKills knows whom the kernel has ended. It guards itself. It is nil for workers in this
	// process, as spawner is.
	kernelKills *life.KernelKills
	// spawner starts the processes of the workers. It guards itself.
	spawner *proc.Spawner
	// warned says that the log has been told that Restart does not run new code. It alone changes
	// later, by anybody.
	warned atomic.Bool
}

// New makes a Main. It starts nothing: what is wrong with the configuration is reported by Run or
// Start. A nil config means the defaults.
func New(cfg *Config) *Main {
	m := &Main{origin: origin{made: callSite(), nested: insideWorker(context.Background())}, milestones: newMilestones()}
	m.cfg, m.err = cfg.filled()
	m.node = newNode(MainName, &codec.Codec{}, m.cfg.MaxMessageSize, m.cfg.Window)
	m.router = &MessageRouter{main: m}
	m.up, m.stopped = m.router, m.stopCause
	m.broker = newBroker(m.node, &m.cfg)
	m.queue = &TaskQueue{node: m.node, main: m}
	m.fleet = newWorkerFleet(m)
	m.loop.held, m.loop.fail = true, m.fail
	m.stdout, m.stderr = &sharedWriter{w: m.cfg.Stdout}, &sharedWriter{w: os.Stderr}
	if m.cfg.Stderr != nil {
		m.stderr.w = m.cfg.Stderr
	}
	m.cancel = func(error) {}
	return m
}

// Name returns "main".
func (m *Main) Name() string { return m.name }

// Receiver returns the receiver of main.
func (m *Main) Receiver() *MessageReceiver { return m.receiver }

// Router returns the router.
func (m *Main) Router() *MessageRouter { return m.router }

// Tasks returns main's door to the task queue.
func (m *Main) Tasks() *TaskQueue { return m.queue }

func (m *Main) self() *node { return m.node }

// Action runs fn once every worker is ready, and then at the interval every; what it misses while a
// handler runs is left out. An interval of zero runs fn on every turn of the loop, between two of
// which the waiting messages are handled: main then never sleeps unless fn does. fn's context ends
// when exit is requested. An error ends the program, and Run returns it.
func (m *Main) Action(every time.Duration, fn func(ctx context.Context) error) {
	m.addAction("Action", every, fn)
}

// Every runs fn at the interval every, the first time after one interval. Otherwise it is like
// Action.
func (m *Main) Every(every time.Duration, fn func(ctx context.Context) error) {
	m.addAction("Every", every, fn)
}

// After runs fn once, after the time d. Otherwise it is like Action.
func (m *Main) After(d time.Duration, fn func(ctx context.Context) error) {
	m.addAction("After", d, fn)
}

// Run starts the workers, handles messages and actions on the calling goroutine until exit is
// requested, ends the workers and returns when nothing of them is left. Exit is requested by Exit,
// by SIGINT or SIGTERM, by the end of ctx, or by an error: of an action of main, of a worker that
// does not start, or of one that dies too often. Run returns nil, that error, or a *ShutdownError
// that names the workers that had to be killed. If the race detector has found a data race in a
// worker, it returns a *WorkerDiedError of that.
//
// In a worker process Run becomes the worker and never returns. In the process of a worker of
// another Main it returns nil at once: see Config.Name.
func (m *Main) Run(ctx context.Context) error {
	if proc.Current() == nil {
		m.service = sdnotify.FromEnv() // takes it out of the environment of the workers
	}
	if err := m.begin(ctx); err != nil {
		return unlessElsewhere(err)
	}
	defer m.serve()()
	defer m.handleSignals()()
	var err error
	finally(m.work, func(goexit bool) {
		err = m.await(context.Background())
		if goexit && !proc.IsTestBinary() { // there it is the test that has ended
			panic(err) // else the program might go on without its workers, and without a word
		}
	})
	return err
}

// Start is Run for a program that has a main loop of its own: it starts the workers and returns
// when all are ready. Messages and actions of main are handled on a goroutine. Signals are left to
// the program. The end of ctx requests exit. If a worker does not start, Start ends the others and
// returns its error; if exit is requested before all are ready, it ends them and returns an error
// that wraps ErrStopped. Call Wait or Close in the end.
//
// In a worker process Start becomes the worker and never returns. In the process of a worker of
// another Main it returns nil at once: see Config.Name.
func (m *Main) Start(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return unlessElsewhere(err)
	}
	go m.work() // ends when every worker has; Wait and Close wait for it
	select {
	case <-m.allReady:
		return nil
	case <-m.ended:
	}
	if err := m.await(context.Background()); err != nil || closed(m.allReady) {
		return err
	}
	return fmt.Errorf("multiprolab: exit was requested before all workers were ready: %w", m.stopCause())
}

// begin checks everything, becomes a worker if this is a worker's process, and starts what runs
// beside the loop.
func (m *Main) begin(ctx context.Context) error {
	m.lifeMu.Lock()
	if m.state != mainNew {
		m.lifeMu.Unlock()
		return errTwice
	}
	m.state = mainRunning
	m.serving.Store(true)
	m.nested = m.nested || insideWorker(ctx)
	m.whole, m.cancel = context.WithCancelCause(context.WithoutCancel(ctx)) // handlers see the values of ctx
	if closed(m.killAsked) {
		m.cancel(m.stopCauseLocked())
	}
	m.lifeMu.Unlock()
	err := m.prepare()
	if e := (*elsewhereError)(nil); errors.As(err, &e) {
		m.stayOut(e)
		return err
	}
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("multiprolab: nothing was started: %w", causeOf(ctx))
	}
	if err != nil {
		if m.spawner != nil {
			m.spawner.Close()
		}
		m.conclude(err)
		return err
	}
	unwatch := context.AfterFunc(ctx, func() { m.exit(m.cfg.Shutdown, &contextError{causeOf(ctx)}) })
	go m.conduct(unwatch) // ends when every worker has; Wait waits for it
	return nil
}

// prepare finds out what this process is, and makes the instances.
func (m *Main) prepare() error {
	if m.err != nil {
		return m.err
	}
	if err := m.takeRole(); err != nil { // does not return in a process of a worker of m
		return err
	}
	if !m.cfg.InProcess {
		if proc.IsTestBinary() && !proc.TestBinaryAllowed() {
			return errors.New(
				"multiprolab: this is a test binary, and re-executing it would run all its tests in each worker: " +
					"call multiprolabtest.Main in TestMain, or set Config.InProcess",
			)
		}
		if err := cmp.Or(checkArgs(), m.claimName()); err != nil {
			return err
		}
		var err error
		if m.identity, err = proc.Identity(); err != nil {
			return fmt.Errorf("multiprolab: the program's own file cannot be examined: %w", err)
		}
		m.spawner = proc.NewSpawner()
		m.oomScoreAdj, m.kernelKills = proc.OOMScoreAdj(), newKernelKills()
	}
	if err := m.fleet.open(); err != nil {
		return err
	}
	m.warnOfErrors()
	if _, given := os.LookupEnv("GOMAXPROCS"); !given {
		m.procs = runtime.GOMAXPROCS(0)
	}
	m.broker.open(m.pools)
	if len(m.pools) == 0 { // even if the end was asked for before
		close(m.allReady)
		m.loop.release()
	}
	return nil
}

// Resize changes the number of workers of a pool while the program runs. Those that are added start
// at once; Resize does not wait for them. Those that are taken away, from the highest number down,
// finish the task and the messages that they have, and give back the tasks that they have not
// started.
func (m *Main) Resize(pool string, n int) error {
	p := m.pool(pool)
	switch {
	case p == nil:
		return &UnknownReceiverError{Receiver: pool, Known: m.poolNames()}
	case n < 1:
		return &ConfigError{"the size of worker " + pool, n, "a pool has at least one worker"}
	}
	if err := m.running(); err != nil {
		return err
	}
	if closed(m.exitAsked) {
		return m.stopCause()
	}
	if !m.fleet.resize(p, n) {
		if closed(m.exitAsked) {
			return m.stopCause()
		}
		return errNotStarted // Run or Start is at it
	}
	sizes := m.poolSizes()
	for _, p := range m.pools {
		for _, s := range p.list() {
			s.tell(packedFrame(wire.Pools, &sizes))
		}
	}
	return nil
}

// poolSizes returns the number of workers of each pool.
func (m *Main) poolSizes() life.Pools {
	sizes := life.Pools{}
	for _, p := range m.pools {
		sizes[p.name] = len(p.list())
	}
	return sizes
}

func (m *Main) shutdownMode() ShutdownMode {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	return m.mode
}

// running returns why messages and tasks cannot be sent now, or nil.
func (m *Main) running() error {
	if m.serving.Load() {
		return nil
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	switch m.state {
	case mainNew:
		return errNotStarted
	case mainEnded:
		return m.stopCauseLocked()
	case mainElsewhere:
		return m.elsewhere
	}
	return nil
}
