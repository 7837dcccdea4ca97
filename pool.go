package multiprolab

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/fleet"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/sockets"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main knows of its pools, their groups and their instances.

// registry is what a Main was told before Run or Start. It exists in main, and also in a worker,
// which has to find its setup function. Until Run or Start lifeMu guards it; after that it does not
// change.
type registry struct {
	// err is what is wrong with the configuration; Run and Start return it.
	err error
	// pools are the pools, in the order in which RegisterWorker was called.
	pools []*pool
	// groups are the groups, in the order in which RegisterGroup was called.
	groups []*group
	// sockets are the sockets of package sockets. It guards itself.
	sockets sockets.Set
	// defaults is what TaskDefaults has set.
	defaults taskDefaults
}

// group is pools whose workers share their fate. It exists in main, and does not change once the
// program runs.
type group struct {
	// strategy says who is restarted with a worker that has failed.
	strategy fleet.Strategy
	// members are the pools in the order of their start.
	members []*pool
	// site is where the group was registered.
	site *site
}

// pool is what one call of RegisterWorker has registered: identical workers. It exists in main, and
// also in a worker, which has to find its setup function.
type pool struct {
	// name is the name of the pool. It never changes.
	name string
	// setup is the setup function of the workers. It never changes.
	setup func(ctx context.Context, w *Worker) error
	// cfg is the configuration, with the defaults filled in. It never changes.
	cfg WorkerConfig
	// site is where the pool was registered. It never changes.
	site *site
	// id is the number by which the rules of lives know the pool. workerFleet.open sets it.
	id fleet.Pool
	// group is the group of the pool, or nil. It does not change once Run or Start has begun.
	group *group
	// turn counts the searches of leastBusy, each of which begins at another instance. Any
	// goroutine may change it.
	turn atomic.Uint32
	// slots are the instances. The list is never changed, only replaced as a whole, by a goroutine
	// that holds the mutex of workerFleet. Any goroutine may read it.
	slots atomic.Pointer[[]*slot]
	// accounts are the accounts of all instances that ever were, by their index.
	accounts accounts
	// spareAccounts are those of the pool's spares, by their numbers.
	spareAccounts accounts
}

// accounts are accounts of the instances of a pool. They exist in main; the mutex of workerFleet
// guards the list.
type accounts []*outbox.Account

// pool returns the pool of this name, or nil.
func (m *registry) pool(name string) *pool {
	for _, p := range m.pools {
		if p.name == name {
			return p
		}
	}
	return nil
}

// poolNames returns the names of all pools, in the order of their registration.
func (m *registry) poolNames() []string {
	var names []string
	for _, p := range m.pools {
		names = append(names, p.name)
	}
	return names
}

// mostLooks is how many living instances leastBusy compares at most, so that a message to a pool of
// a thousand workers costs no more than a message to a pool of this size.
const mostLooks = 32

// leastBusy returns an instance that has nothing to do or, if there is none among the next
// mostLooks instances, the one of these that has the least to do. Instances that have equally much
// to do take turns. An instance that has ended for good is returned only if all have.
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

// has reports whether the instance is still in the pool.
func (p *pool) has(s *slot) bool {
	slots := p.list()
	return s.index >= 0 && s.index < len(slots) && slots[s.index] == s
}

// seenAt is which message a snapshot has seen a worker at. It exists in main; the mutex of
// workerFleet guards it.
type seenAt struct {
	life   int       // the number of the life of the worker; 0 if none was seen
	serial uint64    // the serial of the message
	since  time.Time // when a snapshot has first seen it
}

// slot is the place of one instance, such as "thumbnailer/2". Processes fill it one after the
// other, and the slot outlasts them. It exists in main. The rules of lives say when its lives begin
// and end; see workerFleet.
type slot struct {
	// desk is what the instance knows of main. It never changes.
	desk *desk
	// pool is the pool of the instance, also when the instance has left it. It never changes.
	pool *pool
	// index is the number of the instance within its pool; less than 0 for a spare, whose place is
	// not in the pool. It never changes.
	index int
	// name is the name of the instance. It never changes.
	name string
	// id is the number by which the rules of lives know the slot. It never changes.
	id fleet.Slot
	// out sends messages and calls to the instance. It guards itself.
	out *outbox.Outbox
	// number is the number by which the rules of tasks know the slot. The broker sets it before the
	// first life.
	number queue.Slot

	// live is the present life, or nil between two lives. The goroutine of the life sets it; any
	// goroutine may read it.
	live atomic.Pointer[peer]
	// gone is why there will be no further life; nil as long as there may be one. Any goroutine may
	// read it.
	gone atomic.Pointer[error]
	// leaving says that the instance ends for good while the program goes on. It is set once; any
	// goroutine may read it.
	leaving atomic.Bool

	// slotLives is what the fleet keeps of the slot.
	slotLives
}

// slotLives is what changes from one life of a slot to the next. It exists in main; the mutex of
// workerFleet guards it.
type slotLives struct {
	// account is the credit of the instance for what it sends. It guards itself. The next slot of
	// this name gets it, too. A spare that takes a place brings its own along, and leaves the
	// spares the one that was there.
	account *outbox.Account
	awaits  fleet.Slot // the slot for which the next life waits, as the broker was told last; 0 for none
	over    bool       // the rules of lives have no further life for the slot
	seen    seenAt     // what message a snapshot has last seen the worker at
}

// newSlot makes the slot of instance number i of a pool.
func newSlot(d *desk, p *pool, id fleet.Slot, i int, a *outbox.Account) *slot {
	name := instanceName(p.name, i)
	return &slot{
		desk:  d,
		pool:  p,
		index: i,
		name:  name,
		id:    id,
		out: outbox.New(outbox.Config{
			Window:  int64(d.cfg.Window),
			Stall:   func(ctx context.Context) (<-chan error, func()) { return nil, stall(ctx) },
			CauseOf: contexts.CauseOf,
			Tracks:  true,
			Again:   p.cfg.Redeliver,
			Starved: func() { d.flight.Note(recorder.Starved, name, 0, 0, "") },
		}),
		slotLives: slotLives{account: a},
	}
}

// beginLife makes p the present life.
func (s *slot) beginLife(p *peer) { s.live.Store(p) }

// finishLife notes that nothing is left of a life, or that it has moved to another slot.
func (s *slot) finishLife(p *peer) { s.live.CompareAndSwap(p, nil) }

// running returns the present life, or nil between two lives.
func (s *slot) running() *peer { return s.live.Load() }

// tell sends the worker a frame for which no room is needed, if there is a life.
func (s *slot) tell(f *wire.Frame) {
	if p := s.running(); p != nil {
		p.link.Tell(link.Soon, f)
	}
}

// alive reports whether there is a life of the instance, or may be one.
func (s *slot) alive() bool { return s.whyGone() == nil }

// whyGone returns why there will be no further life of the instance, or nil if there is one or may
// be one.
func (s *slot) whyGone() error {
	if gone := s.gone.Load(); gone != nil {
		return *gone
	}
	return nil
}

// loadOfEnded is the load of an instance that has ended for good. It is more than any other load.
const loadOfEnded = 1 << 30

// load returns how much the instance has to do, in messages, calls and tasks. It takes no lock,
// because it is asked of many instances for one message.
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

// pending returns the number of messages and calls that the instance has to handle. It takes no
// lock.
func (s *slot) pending() int { return s.out.Load() }

// owes reports whether somebody waits for the instance to answer a call or to finish a task.
func (s *slot) owes() bool {
	if s.out.Asks() {
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

// describe returns what the rules of lives have to know of a pool. It returns an error if the pool
// needs a pool that does not exist.
func (m *registry) describe(p *pool) (fleet.PoolDesc, error) {
	cfg := &p.cfg
	d := fleet.PoolDesc{
		Count:      cfg.Count,
		Spare:      cfg.Spare,
		Policy:     fleet.Policy(cfg.Restart),
		StopWorker: cfg.RestartLimit.Then == StopWorker,
		Limit:      cfg.RestartLimit.Restarts,
		Window:     cfg.RestartLimit.Window,
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
