package recorder

import (
	"math"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// Lives are the rules of lives, behind a ring that notes each event and each effect. It exists in
// main. Who holds the lock of the rules may use it.
type Lives struct {
	*fleet.Fleet
	// Ring has the events.
	Ring *Ring
}

// group is what Group was told.
type group struct {
	Strategy fleet.Strategy
	Members  []fleet.Pool
}

// NewLives returns rules without pools, and their ring.
func NewLives(c *Counter, cfg fleet.Config) *Lives {
	l := &Lives{Ring: NewRing(c, LifeEvents)}
	random := cfg.Rand
	cfg.Rand = func() float64 {
		f := random()
		l.Ring.Add(Event{Kind: LifeRand, N: int64(math.Float64bits(f))})
		return f
	}
	l.Fleet = fleet.New(cfg)
	return l
}

// note adds an event that is about one slot.
func (l *Lives) note(k Kind, s fleet.Slot, n int64, at time.Duration) {
	l.Ring.Add(Event{Kind: k, Slot: uint32(s), N: n, At: at})
}

// The methods of fleet.Fleet that are events.

func (l *Lives) Add(d fleet.PoolDesc) fleet.Pool {
	l.Ring.keep(LifePool, d)
	return l.Fleet.Add(d)
}

func (l *Lives) Group(s fleet.Strategy, members ...fleet.Pool) {
	l.Ring.keep(LifeGroup, group{s, members})
	l.Fleet.Group(s, members...)
}

func (l *Lives) Begin(now time.Duration) {
	l.note(LifeBegin, 0, 0, now)
	l.Fleet.Begin(now)
}

func (l *Lives) Started(s fleet.Slot) {
	l.note(LifeStarted, s, 0, 0)
	l.Fleet.Started(s)
}

func (l *Lives) Greeted(s fleet.Slot) {
	l.note(LifeGreeted, s, 0, 0)
	l.Fleet.Greeted(s)
}

func (l *Lives) Up(s fleet.Slot, now time.Duration) {
	l.note(LifeUp, s, 0, now)
	l.Fleet.Up(s, now)
}

func (l *Lives) Idle(s fleet.Slot) {
	l.note(LifeIdle, s, 0, 0)
	l.Fleet.Idle(s)
}

func (l *Lives) Leave(s fleet.Slot) {
	l.note(LifeLeave, s, 0, 0)
	l.Fleet.Leave(s)
}

func (l *Lives) Ended(s fleet.Slot, how fleet.How, now time.Duration) {
	bits := flags(how.Failed, how.Forced, how.Raced, how.Blamed, how.Permanent)
	l.Ring.Add(Event{Kind: LifeEnded, Slot: uint32(s), Bits: bits, At: now})
	l.Fleet.Ended(s, how, now)
}

func (l *Lives) Doomed(s fleet.Slot, life int) {
	l.note(LifeDoomed, s, int64(life), 0)
	l.Fleet.Doomed(s, life)
}

func (l *Lives) Renew(p fleet.Pool) {
	l.note(LifeRenew, fleet.Slot(p), 0, 0)
	l.Fleet.Renew(p)
}

func (l *Lives) Resize(p fleet.Pool, n int, now time.Duration) bool {
	l.note(LifeResize, fleet.Slot(p), int64(n), now)
	return l.Fleet.Resize(p, n, now)
}

func (l *Lives) Restart(s fleet.Slot) fleet.Ask {
	l.note(LifeRestart, s, 0, 0)
	return l.Fleet.Restart(s)
}

func (l *Lives) Forget(s fleet.Slot, a fleet.Ask) {
	l.note(LifeForget, s, int64(a), 0)
	l.Fleet.Forget(s, a)
}

func (l *Lives) Exit(mode fleet.Mode) {
	l.Ring.Add(Event{Kind: LifeExit, Bits: uint8(mode)})
	l.Fleet.Exit(mode)
}

func (l *Lives) End() {
	l.note(LifeEnd, 0, 0, 0)
	l.Fleet.End()
}

func (l *Lives) Tick(now time.Duration) {
	l.note(LifeTick, 0, 0, now)
	l.Fleet.Tick(now)
}

func (l *Lives) Tell(now time.Duration) {
	l.note(LifeTell, 0, 0, now)
	l.Fleet.Tell(now)
}

// Effects returns and notes what is to be done.
func (l *Lives) Effects(into []fleet.Effect) []fleet.Effect {
	into = l.Fleet.Effects(into)
	for i := range into {
		l.Ring.Add(lifeEffect(&into[i]))
	}
	return into
}

// lifeDoes are the names of effects.
var lifeDoes = [...]string{
	fleet.Place: "place", fleet.Spawn: "spawn", fleet.Promote: "promote", fleet.Lend: "lend", fleet.Retire: "retire",
	fleet.LeadOut: "lead out", fleet.Down: "down", fleet.Bury: "bury", fleet.Replaced: "replaced",
	fleet.AllUp:   "all up",
	fleet.Release: "release", fleet.EndProgram: "end the program", fleet.AllGone: "all gone", fleet.Wake: "wake",
}

// lifeEffect returns the event of an effect.
func lifeEffect(e *fleet.Effect) Event {
	n := int64(e.After)
	switch e.Kind {
	case fleet.Wake:
		n = int64(e.At)
	case fleet.Place:
		n = int64(e.Pool)<<32 | int64(e.Index)
	case fleet.Replaced:
		n = int64(e.Ask)
	case fleet.LeadOut:
		n = int64(e.Mode)
	}
	return Event{
		Kind: LifeEffect, Text: uint16(e.Kind), Slot: uint32(e.Slot), Other: uint32(e.From),
		Task: uint64(e.Life), N: n, Bits: flags(e.Spare, e.ForGood, e.Failed, e.Restart) | uint8(e.Reason.Kind)<<4,
	}
}

// flags returns bits, the first one as the lowest.
func flags(all ...bool) (bits uint8) {
	for i, on := range all {
		if on {
			bits |= 1 << i
		}
	}
	return bits
}
