package mail

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAccount plays the lives of a worker that send main what main keeps for a while. A life never
// has more than a window, main never keeps more than 16 windows and one message, credit is
// conserved, a worker that may be waiting is told, and when nothing is kept the life that is there
// has its whole window. Who sends more than there is room for is found out.
func TestAccount(t *testing.T) {
	most := int64(0)
	simulate(t, 0.15, func(t *table) game {
		b := &bank{table: t, account: NewAccount(bankWindow), greed: 1 + t.dice(9), danger: 1 + t.dice(8), most: &most}
		b.begin()
		return b
	})
	if *replay == 0 {
		require.Greater(t, most, int64(KeptWindows*bankWindow), "it has come to the bound")
	}
}

// bankWindow is the window of a worker in these games, largest its largest message.
const bankWindow, largest = 256, 3 * bankWindow

// deposit is what main keeps of a life, or what is on the wire from it.
type deposit struct {
	of   *Credit
	cost int64
}

// bank is the game. Its fields beside account, present and box are the model.
type bank struct {
	*table
	greed   int    // how much more is sent than main lets go, of 10
	danger  int    // how often a life ends, of 100
	most    *int64 // the most that was kept in any game
	account *Account
	present *Credit
	before  *Credit // of the life before, or nil
	box     Outbox[int64, struct{}, struct{}]
	waiting []int64 // costs of what waits in the worker
	up      []deposit
	down    []int64 // credit on its way to the worker
	kept    []deposit
	late    bool // main's timer runs
}

func (b *bank) step() {
	switch n := b.dice(100); {
	case n < b.danger:
		b.begin()
	case n < 10:
		b.spend()
	case n < 13:
		b.lie()
	case n < 40:
		b.send()
	case n < 65:
		b.mainReads()
	case n < 80:
		b.workerReads()
	case n < 85:
		b.timer()
	case b.dice(10) >= b.greed:
		b.letGo()
	}
}

// begin lets a new life begin.
func (b *bank) begin() {
	b.before, b.present = b.present, &Credit{}
	room := b.account.Open(b.present)
	must(room <= bankWindow, "nobody has more than a window")
	b.say("a life begins, with room for %d bytes", room)
	b.box = Outbox[int64, struct{}, struct{}]{}
	b.box.Window.Resize(bankWindow)
	b.box.Open(room)
	b.waiting, b.down = nil, nil
}

// send lets the worker send.
func (b *bank) send() {
	cost := int64(20 + b.dice(150))
	if b.oneIn(20) {
		cost = int64(20 + b.dice(largest-20))
	}
	b.say("the worker sends %d bytes", cost)
	if b.box.Offer(cost) {
		b.up = append(b.up, deposit{b.present, cost})
		return
	}
	b.waiting = append(b.waiting, cost)
	b.box.Wait(&Place[int64]{Message: cost, Cost: cost})
}

// spend is a life that sends all that it may, and ends.
func (b *bank) spend() {
	for len(b.waiting) == 0 {
		b.send()
	}
	for len(b.up) > 0 {
		b.mainReads()
	}
	b.check()
	b.begin()
}

// mainReads lets main read what a worker has sent.
func (b *bank) mainReads() {
	if len(b.up) == 0 {
		return
	}
	d := pop(&b.up)
	b.say("main reads %d bytes", d.cost)
	charge := b.account.Charge(d.of, d.cost)
	if d.of != b.present {
		must(charge == Gone, "what a life before has written is not taken")
		return
	}
	must(charge == Charged, "an honest worker has room for what it sends")
	b.kept = append(b.kept, d)
	b.hurry()
}

// lie lets the worker send more than it has room for.
func (b *bank) lie() {
	cost := int64(20 + b.dice(largest))
	if room := bankWindow - b.present.Spent(); room < min(cost, bankWindow/2) {
		must(b.account.Charge(b.present, cost) == Excess, "who sends too much is found out")
	}
	if b.before != nil {
		must(b.account.Charge(b.before, cost) == Gone, "a life before sends nothing more")
	}
}

// letGo lets main keep something no longer.
func (b *bank) letGo() {
	if len(b.kept) == 0 {
		return
	}
	d := pick(b.dice, &b.kept)
	b.say("main lets %d bytes go", d.cost)
	if b.account.Grant(d.of, d.cost) {
		b.pay()
	}
	b.hurry()
}

// pay tells the worker what is due to it.
func (b *bank) pay() {
	if bytes := b.account.Pay(); bytes > 0 {
		b.down = append(b.down, bytes)
	}
}

// hurry starts main's timer if the worker may be waiting.
func (b *bank) hurry() { b.late = b.late || b.account.Hurries() }

// timer is the end of the time of main's timer.
func (b *bank) timer() {
	if b.late {
		b.late = false
		b.pay()
	}
}

// workerReads lets the worker read a frame of credit.
func (b *bank) workerReads() {
	if len(b.down) == 0 {
		return
	}
	must(b.box.Granted(uint64(pop(&b.down)), 0), "main gives back no more than it was sent")
	for p := b.box.Next(); p != nil; p = b.box.Next() {
		must(p.Message == pop(&b.waiting), "what waits goes out in order")
		b.up = append(b.up, deposit{b.present, p.Cost})
	}
}

func (b *bank) check() {
	cost := func(d deposit) int64 { return d.cost }
	kept := sum(b.kept, cost)
	must(b.account.Kept() == kept, "what is kept is known")
	*b.most = max(*b.most, kept)
	must(kept <= KeptWindows*bankWindow+largest, "main does not keep more than 16 windows and a message")
	must(b.present.lack >= 0 && b.present.owed >= 0, "nothing is less than nothing")
	must(b.late || b.present.owed == 0 || b.present.spent <= bankWindow/2, "who may be waiting is told soon")
	must(b.present.owed < bankWindow/4, "a quarter of the window is told at once")
	mine := slices.DeleteFunc(slices.Clone(b.up), func(d deposit) bool { return d.of != b.present })
	way := sum(mine, cost) + sum(b.down, func(n int64) int64 { return n })
	must(b.box.Window.free+way == bankWindow-b.present.spent, "credit is neither lost nor made")
}

func (b *bank) finish() {
	for len(b.up)+len(b.down)+len(b.kept) > 0 || b.late {
		b.mainReads()
		b.letGo()
		b.timer()
		b.workerReads()
		b.check()
	}
	must(len(b.waiting) == 0, "all is sent at some time")
	must(b.present.lack == 0 && b.account.debt == 0, "when nothing is kept, a life has its whole window")
}
