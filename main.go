package multiprolab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
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
	cfg    Config
	err    error // what is wrong with the configuration
	pools  []*pool
	router *MessageRouter
	broker *broker
	queue  *TaskQueue

	identity    string   // of the binary
	path        []string // of the worker that this Main runs in, if it runs in one
	outer       []string // the names of the Mains around this one then
	depth       int
	procs       int // GOMAXPROCS of main, or 0 if the environment says it
	oomScoreAdj int // of main
	kernelKills *life.KernelKills
	spawner     *proc.Spawner
	stdout      *sharedWriter
	stderr      *sharedWriter

	stopping   context.Context // ends when the workers must be ended
	stop       context.CancelCauseFunc
	whole      context.Context // of the handlers: ends with the last worker, or when all are killed
	cancel     context.CancelCauseFunc
	exitAsked  chan struct{} // closed by the first exit
	hurryAsked chan struct{} // closed by the first exit with another mode than DrainQueue
	killAsked  chan struct{} // closed by the first exit with KillAll
	allReady   chan struct{} // closed when every instance has become ready once before the end was asked for
	ended      chan struct{} // closed when nothing is left
	loopEnded  chan struct{}

	supervisors sync.WaitGroup
	changes     changes
	watchers    watchers
	own         ownLoops
	workersGone chan struct{}      // closed when no process of a worker is left
	service     *sdnotify.Notifier // or nil
	readyTold   chan struct{}      // closed when the service manager has been told that all are ready

	lifeMu   sync.Mutex
	state    mainState
	serving  atomic.Bool // state is mainRunning
	mode     ShutdownMode
	notReady int
	failure  error // the first, which Run returns
	cause    error // see Cause
	failed   bool  // the cause is an error, the failure: nobody has asked for the end
	killed   []KilledWorker
	races    []error // that the race detector has found in workers

	warned    atomic.Bool     // that Restart does not run new code
	made      *site           // where New was called
	elsewhere *elsewhereError // in state mainElsewhere
}

type mainState int

const (
	mainNew mainState = iota
	mainRunning
	mainEnded
	mainElsewhere // this is the process of a worker, and the Main does not run here
)

// New makes a Main. It starts nothing: what is wrong with the configuration is reported by Run or
// Start. A nil config means the defaults.
func New(cfg *Config) *Main {
	m := &Main{
		exitAsked:   make(chan struct{}),
		hurryAsked:  make(chan struct{}),
		killAsked:   make(chan struct{}),
		allReady:    make(chan struct{}),
		ended:       make(chan struct{}),
		loopEnded:   make(chan struct{}),
		workersGone: make(chan struct{}),
		readyTold:   make(chan struct{}),
		made:        callSite(),
	}
	m.cfg, m.err = cfg.filled()
	m.node = newNode(MainName, &codec.Codec{}, m.cfg.MaxMessageSize, m.cfg.Window)
	m.router = &MessageRouter{main: m}
	m.up, m.stopped = m.router, m.stopCause
	m.broker = newBroker(m.node, &m.cfg)
	m.queue = &TaskQueue{node: m.node, main: m}
	m.loop.held, m.loop.fail = true, m.fail
	m.stdout, m.stderr = &sharedWriter{w: m.cfg.Stdout}, &sharedWriter{w: os.Stderr}
	if m.cfg.Stderr != nil {
		m.stderr.w = m.cfg.Stderr
	}
	m.stopping, m.stop = context.WithCancelCause(context.Background())
	m.cancel = func(error) {}
	return m
}

// RegisterWorker registers cfg.Count identical workers under a name. setup runs in each worker's
// process, and nothing else does: there it registers handlers and actions. Instances are named
// name/0, name/1 and so on. It panics if the name is empty, reserved, malformed or taken.
func (m *Main) RegisterWorker(name string, setup func(ctx context.Context, w *Worker) error, cfg *WorkerConfig) {
	site := callSite()
	if err := checkWorkerName(name); err != nil {
		registrationPanic("%v (%s)", err, site)
	}
	if setup == nil {
		registrationPanic("the setup function of worker %q is nil (%s)", name, site)
	}
	if old := m.pool(name); old != nil {
		registrationPanic(
			"worker %q is registered twice, at %s and at %s: choose another name, or use WorkerConfig.Count for "+
				"identical workers",
			name,
			old.site,
			site,
		)
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("worker %q is registered after Run or Start: register it before (%s)", name, site)
	}
	p := &pool{name: name, setup: setup, site: site, latest: map[int]*slot{}}
	var err error
	if p.cfg, err = cfg.filled(); err != nil && m.err == nil {
		m.err = fmt.Errorf("worker %q (%s): %w", name, site, err)
	}
	m.pools = append(m.pools, p)
}

func (m *Main) pool(name string) *pool {
	for _, p := range m.pools {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (m *Main) poolNames() []string {
	var names []string
	for _, p := range m.pools {
		names = append(names, p.name)
	}
	return names
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
	if err := m.checkNeeds(); err != nil {
		return err
	}
	m.warnOfErrors()
	if _, given := os.LookupEnv("GOMAXPROCS"); !given {
		m.procs = runtime.GOMAXPROCS(0)
	}
	var previous *slot
	for _, p := range m.pools {
		p.resize(m, p.cfg.Count)
		m.notReady += p.cfg.Count
		for _, s := range p.list() {
			s.initial, s.previous = true, previous
			previous = s
		}
	}
	m.broker.open(m.pools)
	if m.notReady == 0 {
		close(m.allReady)
		m.loop.release()
	}
	return nil
}

// conduct is the life of the whole beside the loop: it starts the workers' supervisors, waits for
// the exit, and ends everything in order.
func (m *Main) conduct(unwatch func() bool) {
	never := closed(m.exitAsked) // the end was asked for before the start, which says so
	for _, p := range m.pools {
		for _, s := range p.list() {
			m.launch(s)
		}
	}
	<-m.exitAsked
	if !never {
		m.emit(m.ending())
	}
	unwatch()
	drain := m.shutdownMode() == DrainQueue
	m.broker.stop(m.stopCause(), drain)
	if drain {
		m.drain()
		m.broker.stop(m.stopCause(), false)
	}
	m.loop.stopActions(ErrExit)
	m.endWorkers()
	m.supervisors.Wait()
	close(m.workersGone)
	m.broker.end(m.stopCause())
	m.loop.exit(DrainQueue) // what the workers sent before they ended is still handled
	<-m.loopEnded
	m.receiver.seal(m.stopCause()) // what is left there is reported
	for m.tellRest() {             // no handler runs any more
	}
	m.node.close(m.stopCause())
	if m.spawner != nil {
		m.spawner.Close()
	}
	m.conclude(nil)
}

// launch starts the supervisor of an instance, unless exit has been requested. conduct waits for
// it.
func (m *Main) launch(s *slot) {
	m.lifeMu.Lock()
	late := closed(m.exitAsked)
	if !late {
		m.supervisors.Go(func() { m.supervise(s) })
	}
	m.lifeMu.Unlock()
	if late { // nobody else will end what waits for the instance
		s.hadTurn()
		s.bury(m.stopCause())
		close(s.ended)
	}
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
	added, removed := p.resize(m, n)
	for _, s := range added {
		m.launch(s)
	}
	for _, s := range removed {
		s.leave()
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

// drain waits until no task is left, as long as the config allows and nobody presses for the end.
func (m *Main) drain() {
	var timeout <-chan time.Time
	if m.cfg.DrainTimeout > 0 {
		timer := time.NewTimer(m.cfg.DrainTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-m.broker.join():
	case <-timeout:
	case <-m.hurryAsked:
	}
}

// work runs the loop until conduct ends it, or all are killed.
func (m *Main) work() {
	m.guard(func() {
		_ = m.loop.run(m.whole) // an error of an action goes to fail; what is left is the cause of m.whole
	}, func() { close(m.loopEnded) })
}

// tellRest calls Config.OnEvent for the last events, when the loop has ended. It reports whether
// there were any; there may be more then.
func (m *Main) tellRest() bool {
	fn, ok := m.receiver.nextUrgent()
	if !ok {
		return false
	}
	told := make(chan struct{})
	// It ends with the events. It is a goroutine of its own, because user code may end it.
	go m.guard(func() {
		for ; ok; fn, ok = m.receiver.nextUrgent() {
			fn()
		}
	}, func() { close(told) })
	<-told
	return true
}

// conclude ends the life of the Main.
func (m *Main) conclude(err error) {
	m.lifeMu.Lock()
	m.state = mainEnded
	m.serving.Store(false)
	if m.failure == nil {
		m.failure = err
	}
	if err != nil {
		m.setCause(err)
	}
	why := m.stopCauseLocked()
	m.lifeMu.Unlock()
	m.stop(why)
	m.cancel(why)
	close(m.ended)
}

// fail ends the program with an error, unless it has another one already.
func (m *Main) fail(err error) {
	m.lifeMu.Lock()
	if m.failure == nil {
		m.failure = err
	}
	m.failed = m.failed || m.cause == nil
	m.setCause(err)
	m.lifeMu.Unlock()
	m.exit(FinishRunning, err)
}

// exit requests the end in a mode, and says why. A later request counts if it is harsher.
func (m *Main) exit(mode ShutdownMode, cause error) {
	// at once: no worker begins another task
	defer func() { m.broker.stop(m.stopCause(), m.shutdownMode() == DrainQueue) }()
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	m.setCause(cause)
	if first := !closed(m.exitAsked); first {
		m.mode = mode
		close(m.exitAsked)
	} else if mode == KillAll || m.mode == DrainQueue {
		m.mode = mode
	}
	if mode != DrainQueue && !closed(m.hurryAsked) {
		close(m.hurryAsked)
	}
	if mode == KillAll && !closed(m.killAsked) {
		close(m.killAsked)
		m.cancel(m.stopCauseLocked())
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
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

// Exit requests the end of the program, in the mode of Config.Shutdown. It returns at once. It may
// be called from any goroutine, any number of times, before Run as well, and in a worker, where it
// is Worker.Exit.
func (m *Main) Exit() {
	if e := m.outside(); e != nil {
		e.exit()
		return
	}
	m.exit(m.cfg.Shutdown, ErrExit)
}

// Wait waits until nothing of the workers is left, and returns what Run returns. It does not
// request the end. The end of ctx ends the waiting alone. On the loop of main, in a handler, an
// action or Config.OnEvent, it would wait for itself: there it returns an error at once.
func (m *Main) Wait(ctx context.Context) error {
	if m.running() == errNotStarted {
		return errNotStarted
	}
	if e := m.outside(); e != nil {
		return e.wait()
	}
	if err := m.waitsForItself("Wait"); err != nil {
		return err
	}
	return m.await(ctx)
}

// await waits for the end, and says how it was.
func (m *Main) await(ctx context.Context) error {
	select {
	case <-m.ended:
	case <-ctx.Done():
		return fmt.Errorf("multiprolab: waiting for the workers to end: %w", causeOf(ctx))
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	var all []error
	if m.failure != nil {
		all = append(all, m.failure)
	}
	all = append(all, m.races...)
	if len(m.killed) > 0 {
		all = append(all, &ShutdownError{Killed: m.killed})
	}
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}

// Close requests the end in the mode of Config.Shutdown, and waits for it. Unlike Wait it may be
// called before Start, and does nothing then. On the loop of main it requests the end and returns
// an error at once, for it would wait for itself: use Exit there.
func (m *Main) Close() error { return m.finish(context.Background(), m.cfg.Shutdown, "Close") }

// Stop requests the end in a mode, and waits for it as Wait does. A second Stop may ask for a
// harsher one. Before Start it is remembered, as Exit is: nothing is started then. On the loop of
// main it does not wait, as Close.
func (m *Main) Stop(ctx context.Context, mode ShutdownMode) error {
	if m.running() == errNotStarted {
		m.exit(mode, ErrExit)
	}
	return m.finish(ctx, mode, "Stop")
}

// finish is Stop under the name that the caller knows.
func (m *Main) finish(ctx context.Context, mode ShutdownMode, call string) error {
	if m.running() == errNotStarted {
		return nil
	}
	if e := m.outside(); e != nil {
		return e.wait()
	}
	m.exit(mode, ErrExit)
	if err := m.waitsForItself(call); err != nil {
		return err
	}
	return m.await(ctx)
}
