package multiprolab

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/fleet"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// registry is what a Main was told before Run or Start. It exists in main, and in a worker as far
// as needed to find its setup function. Until Run or Start lifeMu guards it; then it never changes.
type registry struct {
	// err is what is wrong with the configuration; Run and Start return it.
	err error
	// pools are those of RegisterWorker, in that order.
	pools []*pool
	// groups are those of RegisterGroup.
	groups []*group
}

// group is the workers that share a fate. It exists in main, and never changes once the program
// runs.
type group struct {
	strategy fleet.Strategy
	// members are the pools in the order of their start.
	members []*pool
	// site is where the group was registered.
	site *site
}

// pool is what one RegisterWorker registered: identical workers. It exists in main, and in a worker
// as far as needed to find its setup function.
type pool struct {
	name  string
	setup func(ctx context.Context, w *Worker) error
	cfg   WorkerConfig
	site  *site
	// id is the number by which the rules of lives know the pool. It is set before the first life.
	id fleet.Pool
	// group is the group of the pool, or nil. It is set before Run or Start.
	group *group
	// turn is where leastBusy has begun to look last. Anybody may change it.
	turn atomic.Uint32
	// slots are the instances. The list is replaced as a whole, never changed, by who holds the
	// mutex of workerFleet; anybody may read it.
	slots atomic.Pointer[[]*slot]
	// accounts are those of all instances that ever were, by their numbers. The mutex of
	// workerFleet guards them.
	accounts []*account
}

func (m *registry) pool(name string) *pool {
	for _, p := range m.pools {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (m *registry) poolNames() []string {
	var names []string
	for _, p := range m.pools {
		names = append(names, p.name)
	}
	return names
}

// mostLooks is at how many instances leastBusy looks: a message to a thousand workers costs no more
// than one to these.
const mostLooks = 32

// leastBusy returns an instance with nothing to do, or the one with the least to do among those
// that come next, mostLooks of them; of several that are alike, each in its turn. Instances that
// have ended for good come last.
func (p *pool) leastBusy() *slot {
	slots := p.list()
	if len(slots) == 1 {
		return slots[0]
	}
	first := int(p.turn.Add(1)) % len(slots)
	var best *slot
	var bestLoad int
	for i, looks := 0, 0; i < len(slots) && looks < mostLooks; i++ {
		s := slots[(first+i)%len(slots)]
		load := s.load()
		if best == nil || load < bestLoad {
			best, bestLoad = s, load
		}
		if load == 0 {
			break
		}
		if load < loadOfEnded {
			looks++
		}
	}
	return best
}

// list returns the instances. The caller must not change it.
func (p *pool) list() []*slot {
	if slots := p.slots.Load(); slots != nil {
		return *slots
	}
	return nil
}

// has reports whether the instance is in the pool still.
func (p *pool) has(s *slot) bool {
	slots := p.list()
	return s.index < len(slots) && slots[s.index] == s
}

// slot is the place of one instance, such as "thumbnailer/2". It outlasts the processes that fill
// it one after the other. It exists in main. The rules of lives say when its lives begin and end;
// see workerFleet.
type slot struct {
	// desk is what the instance knows of main. It never changes, as nothing does before out.
	desk *desk
	// pool is that of the instance, also when the instance has left it.
	pool *pool
	// index is the number of the instance within its pool.
	index int
	// name is that of the instance.
	name string
	// id is the number by which the rules of lives know the slot.
	id fleet.Slot
	// out is the messages and calls to the instance. It guards itself.
	out *outbox
	// account is the credit of the instance for what it sends. It guards itself, and goes on to the
	// next slot with this name.
	account *account

	// number is what the rules of tasks know the slot by. The broker gives it, before the first
	// life.
	number queue.Slot

	// live is the process of the present life, or nil between two. The goroutine of the life sets
	// it; anybody may read it.
	live atomic.Pointer[peer]
	// gone is why there will be no further life, once there will be none. Anybody may read it.
	gone atomic.Pointer[error]
	// leaving says that the instance leaves while the program goes on, and is not replaced. It is
	// set once. Anybody may read it.
	leaving atomic.Bool

	// awaits is for whom the next life waits, as the broker was told; 0 for nobody. The mutex of
	// workerFleet guards it.
	awaits fleet.Slot
	// over says that the rules have no further life for the slot. The mutex of workerFleet guards
	// it.
	over bool
}

func newSlot(d *desk, p *pool, id fleet.Slot, i int) *slot {
	return &slot{
		desk:    d,
		pool:    p,
		index:   i,
		name:    instanceName(p.name, i),
		id:      id,
		out:     newOutbox(int64(d.cfg.Window), true),
		account: p.accounts[i],
	}
}

// beginLife makes p the present life.
func (s *slot) beginLife(p *peer) { s.live.Store(p) }

// finishLife notes that nothing is left of the present life.
func (s *slot) finishLife() { s.live.Store(nil) }

// running returns the process of the present life, or nil between two.
func (s *slot) running() *peer { return s.live.Load() }

// tell sends a frame that always fits to the worker, if there is one.
func (s *slot) tell(f *wire.Frame) {
	if p := s.running(); p != nil {
		p.link.Tell(link.Soon, f)
	}
}

func (s *slot) alive() bool { return s.whyGone() == nil }

// whyGone returns nil if there is a life of the instance or will be, and else why not.
func (s *slot) whyGone() error {
	if gone := s.gone.Load(); gone != nil {
		return *gone
	}
	return nil
}

// loadOfEnded is the load of an instance that has ended for good: more than any other.
const loadOfEnded = 1 << 30

// load is a measure of what the instance has to do: messages, calls and tasks. It takes no lock,
// for it is asked of many instances for one message.
func (s *slot) load() int {
	if s.gone.Load() != nil {
		return loadOfEnded
	}
	n := s.pending()
	if p := s.live.Load(); p != nil {
		n += int(p.holds.Load())
	}
	return n
}

// pending is the number of messages and calls that the instance has to handle. It takes no lock.
func (s *slot) pending() int { return s.out.load() }

// owes reports whether somebody waits for the instance to answer a call or to finish a task.
func (s *slot) owes() bool {
	if s.out.asks() {
		return true
	}
	p := s.running()
	return p != nil && p.holds.Load() > 0
}

// poolSizes returns the number of workers of each pool.
func (m *registry) poolSizes() life.Pools {
	sizes := life.Pools{}
	for _, p := range m.pools {
		sizes[p.name] = len(p.list())
	}
	return sizes
}

// describe is what the rules have to know of a pool. It returns an error if the pool needs one that
// does not exist.
func (m *registry) describe(p *pool) (fleet.PoolDesc, error) {
	cfg := &p.cfg
	d := fleet.PoolDesc{
		Count:      cfg.Count,
		Policy:     fleet.Policy(cfg.Restart),
		StopWorker: cfg.OnRestartLimit == StopWorker,
		Limit:      cfg.RestartLimit,
		Window:     cfg.RestartWindow,
		Delay:      cfg.RestartDelay,
		Factor:     cfg.RestartFactor,
		MaxDelay:   cfg.RestartMaxDelay,
		Jitter:     cfg.RestartJitter,
		Reset:      cfg.RestartReset,
		MaxAge:     cfg.MaxAge,
	}
	for _, name := range cfg.Needs {
		i := slices.IndexFunc(m.pools, func(q *pool) bool { return q.name == name })
		if i < 0 {
			return d, &ConfigError{
				"WorkerConfig.Needs of worker " + p.name,
				name,
				"no worker is registered under this name; registered are " + strings.Join(m.poolNames(), ", "),
			}
		}
		d.Needs = append(d.Needs, fleet.Pool(i))
	}
	return d, nil
}
