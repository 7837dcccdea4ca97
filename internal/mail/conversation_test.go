package mail

import (
	"slices"
	"testing"
)

// TestConversation plays both ends of a conversation: main, and a worker that lives, dies and is
// replaced. Whatever happens, credit is conserved, messages come in the order in which they were
// sent, what becomes of each of them is told once, exactly the unhandled ones are lost with a life,
// and in the end nothing is held. Confirmations that lie are refused. In every other game what is
// lost is handed to the next life: no message is skipped then, what was confirmed never comes again,
// what comes again has a mark if a handler had begun with it, and no message ends more lives than it
// may.
func TestConversation(t *testing.T) {
	simulate(t, 0.7, func(t *table) game {
		c := &conversation{table: t, moods: [4]int{1 + t.dice(6), 1 + t.dice(6), 1 + t.dice(6), 1 + t.dice(6)}}
		c.box.Window.Resize(gameWindow)
		if c.oneIn(2) {
			c.again = 1 + c.dice(3)
			c.box.Ledger.Clears = c.oneIn(2)
		}
		return c
	})
}

// gameWindow is the window of a conversation in a game.
const gameWindow = 1024

// gameMessage is a message or a call in a game.
type gameMessage struct {
	place    Place[*gameMessage]
	name     int
	call     bool
	cost     int64
	serial   uint64 // of a message in the present life
	number   uint64 // of a call
	due      int64  // the credit that the worker has to give back for it
	credited bool   // the worker has given all credit back
	left     bool   // it has left the inbox: it was handled, or refused
	told     bool   // what became of it has come to main
	reported bool   // the worker has reported what became of it
	returned bool   // the handler has returned: what became of it is about to be said
	// of a message that is handed on
	began  bool // a handler has begun with it, in whatever life
	begun  bool // in this life
	marked bool // it comes with a mark
	deaths int  // how many lives have ended in the middle of it, as far as is known
}

// gameFrame is what is on the wire.
type gameFrame struct {
	kind  string
	about *gameMessage
	bytes int64
	upTo  uint64
}

// conversation is the game. Its fields beside box, inbox and receipts are the model.
type conversation struct {
	*table
	// moods are how often something is sent, read by the worker, handled, and read by main.
	moods [4]int
	names int // messages so far
	// again is how often a message is handed on that may have ended a life; 0 if what is lost stays
	// lost.
	again int
	// owed is the one-way messages, in the order in which they were sent, with which no handler has
	// begun and of which nobody was told anything else.
	owed []*gameMessage

	// main's end
	box     Outbox[*gameMessage, *gameMessage, *gameMessage]
	waiting []*gameMessage
	written []*gameMessage // one-way messages to this life
	asked   []*gameMessage // calls to this life that have no reply
	closing bool           // the last message of this life waits, or was written
	upTo    uint64         // that main has been told

	// lastCall is the number of the last call that was written to any life.
	lastCall uint64

	// the wire
	down, up []gameFrame

	// the worker
	alive    bool
	boxed    bool // what it has said is read after its death
	boxedTo  uint64
	begunTo  uint64
	inbox    Inbox[*gameMessage]
	receipts Receipts
	came     uint64
	held     []*gameMessage // in the inbox
	running  []*gameMessage // the handlers that run, each inside the one before
	stalls   int
	sealed   bool
	leaving  bool  // it has been told to end
	sunk     int64 // bytes that came when nothing was taken, and which it gives back no more
}

func (c *conversation) step() {
	if !c.alive && c.oneIn(4) {
		c.begin()
		return
	}
	deeds := [4]func(){c.send, c.workerReads, c.work, c.mainReads}
	for i := range deeds {
		for range c.moods[i] {
			if c.oneIn(12) {
				deeds[i]()
				return
			}
		}
	}
	switch c.dice(24) {
	case 0, 1:
		c.withdraw()
	case 2, 3:
		c.cancel()
	case 4, 5, 6:
		c.lie()
	case 7:
		c.die()
	case 8:
		c.last()
	case 9:
		c.seal()
	case 10, 11, 12:
		c.stall()
	case 13, 14:
		c.flush()
	case 15:
		c.moods[c.dice(4)] = 1 + c.dice(6)
	case 16:
		c.flood()
	default:
		c.mainReads()
	}
}

// flood is all that main can send while the worker waits.
func (c *conversation) flood() {
	for n := 0; c.alive && c.stalls > 0 && n < 150; n++ {
		c.send()
		c.workerReads()
		if n%4 == 0 {
			c.flush()
		}
		c.mainReads()
		c.check()
	}
}

// begin lets a new life begin.
func (c *conversation) begin() {
	c.say("a life begins")
	c.alive, c.boxed = true, c.oneIn(2)
	c.inbox, c.receipts = Inbox[*gameMessage]{}, Receipts{}
	c.inbox.Resize(gameWindow)
	c.box.Open(gameWindow)
	c.pump()
}

// send sends a message, or makes a call.
func (c *conversation) send() {
	m := &gameMessage{name: c.names, call: c.oneIn(3), cost: int64(40 + c.dice(200))}
	switch c.dice(12) {
	case 0:
		m.cost = int64(gameWindow/2 + c.dice(gameWindow))
	case 1:
		m.cost = int64(1 + c.dice(40))
	}
	c.names++
	if !m.call {
		c.owed = append(c.owed, m)
	}
	m.place.Message, m.place.Cost = m, m.cost
	may := c.alive && !c.closed() && len(c.waiting) == 0 && c.room() >= min(m.cost, gameWindow/2)
	c.say("main sends %d, of %d bytes (call: %v, at once: %v)", m.name, m.cost, m.call, may)
	must(c.box.Offer(m.cost) == may, "a message is written at once if nothing waits and there is room")
	if may {
		c.write(m)
		return
	}
	c.box.Wait(&m.place)
	c.waiting = append(c.waiting, m)
}

// closed reports whether the last message of this life was written.
func (c *conversation) closed() bool {
	return c.closing && !slices.ContainsFunc(c.waiting, func(m *gameMessage) bool { return m.place.last })
}

// write writes a message for which the rules have given room.
func (c *conversation) write(m *gameMessage) {
	kind := "message"
	switch {
	case m.place.last:
		kind = "exit"
	case m.call:
		kind = "call"
		m.number = c.box.Ledger.Ask(m)
		must(m.number > c.lastCall, "no two calls have one number, in whatever lives")
		c.lastCall = m.number
		c.asked = append(c.asked, m)
	default:
		c.box.Ledger.Write(m)
		c.written = append(c.written, m)
	}
	c.down = append(c.down, gameFrame{kind: kind, about: m})
}

// pump writes what the rules let go.
func (c *conversation) pump() {
	for p := c.box.Next(); p != nil; p = c.box.Next() {
		must(len(c.waiting) > 0 && p.Message == c.waiting[0], "what waits goes out in order")
		m := pop(&c.waiting)
		c.say("main writes %d", m.name)
		if c.oneIn(50) && !m.place.last { // it cannot be encoded, say
			if m.call {
				number := c.box.Ledger.Ask(m)
				_, ok := c.box.Ledger.Answered(number)
				must(ok, "a call that could not be written is none")
			}
			c.box.Window.Return(m.cost)
			c.settle(m)
			continue
		}
		c.write(m)
	}
}

// withdraw takes a message back, or tries to.
func (c *conversation) withdraw() {
	if len(c.asked) > 0 && c.oneIn(3) {
		must(!c.box.Withdraw(&c.asked[c.dice(len(c.asked))].place), "what was written is not main's any more")
		return
	}
	if len(c.waiting) == 0 {
		return
	}
	i := c.dice(len(c.waiting))
	if m := c.waiting[i]; !m.place.last {
		c.say("main takes %d back", m.name)
		must(c.box.Withdraw(&m.place), "what waits can be taken back")
		c.waiting = slices.Delete(c.waiting, i, i+1)
		c.settle(m)
		c.pump()
	}
}

// settle notes that no handler need begin with a message any more.
func (c *conversation) settle(m *gameMessage) {
	c.owed = slices.DeleteFunc(c.owed, func(o *gameMessage) bool { return o == m })
}

// cancel tells the worker that nobody waits for the reply to a call.
func (c *conversation) cancel() {
	if len(c.asked) > 0 {
		m := c.asked[c.dice(len(c.asked))]
		known, _ := c.box.Ledger.Asked(m.number)
		must(known == m, "a call that has no reply is known")
		c.down = append(c.down, gameFrame{kind: "cancel", about: m})
	}
}

// last ends the life as soon as all that waits has been written.
func (c *conversation) last() {
	m := &gameMessage{name: c.names}
	m.place.Message = m
	if !c.alive {
		must(!c.box.Finish(&m.place), "who has no life is not told to end")
	} else if !c.closing {
		c.names++
		c.closing = true
		must(c.box.Finish(&m.place), "a life can be told to end")
		c.waiting = append(c.waiting, m)
		c.pump()
	}
}

// workerReads lets the worker read a frame.
func (c *conversation) workerReads() {
	if !c.alive || len(c.down) == 0 {
		return
	}
	f := pop(&c.down)
	m := f.about
	c.say("the worker reads %s %d", f.kind, m.name)
	switch f.kind {
	case "exit":
		c.leaving = true
		return
	case "cancel":
		in := slices.Index(c.held, m)
		dropped := c.inbox.Drop(func(o *gameMessage) bool { return o == m })
		must(len(dropped) == 1 == (in >= 0), "what is in the inbox can be cancelled")
		if in >= 0 {
			c.held = slices.Delete(c.held, in, in+1)
			c.refuse(m, dropped[0].Due)
		}
		return
	case "message":
		c.came++
		m.serial = c.came
	}
	m.due = m.cost
	held := sum(c.held, func(m *gameMessage) int64 { return m.cost })
	switch verdict := c.inbox.Put(m, m.cost); {
	case c.sealed:
		must(verdict == Sealed, "nothing is taken any more")
		if m.call {
			c.up = append(c.up, gameFrame{kind: "reply", about: m})
			m.left = true
		}
		m.credited = true
		c.sunk += m.cost
	case c.stalls > 0 && held > BacklogWindows*gameWindow:
		must(verdict == Backlog, "what is too much is refused")
		c.refuse(m, m.cost)
	case c.stalls > 0:
		must(verdict == Credited, "who waits gives credit at once")
		c.held = append(c.held, m)
		c.credit(m, m.cost)
	default:
		must(verdict == Taken, "a message is taken")
		c.held = append(c.held, m)
	}
}

// credit gives credit back for a message.
func (c *conversation) credit(m *gameMessage, bytes int64) {
	must(!m.credited && bytes == m.due || bytes == 0, "credit is given back once")
	if bytes > 0 {
		m.credited, m.due = true, 0
	}
	if c.receipts.Credit(bytes, gameWindow) {
		c.flush()
	}
}

// refuse answers a message that no handler gets.
func (c *conversation) refuse(m *gameMessage, due int64) {
	c.report(m)
	c.leave(m, due)
}

// report tells main what became of a message, or answers a call.
func (c *conversation) report(m *gameMessage) {
	if m.call {
		c.up = append(c.up, gameFrame{kind: "reply", about: m})
		return
	}
	m.reported = true
	c.settle(m)
	c.up = append(c.up, gameFrame{kind: "report", about: m})
}

// leave lets a message leave the inbox.
func (c *conversation) leave(m *gameMessage, due int64) {
	m.left = true
	if m.call {
		c.credit(m, due)
		return
	}
	inTurn := !slices.ContainsFunc(c.written, func(o *gameMessage) bool {
		return o.serial > 0 && o.serial < m.serial && !o.left
	})
	must(c.receipts.Done(m.serial) == inTurn, "a message leaves in its turn if all before it have left")
	if !inTurn && !m.reported {
		c.up = append(c.up, gameFrame{kind: "alone", about: m})
	}
	c.boxedTo = c.receipts.UpTo()
	c.credit(m, due)
}

// work lets a handler begin or end.
func (c *conversation) work() {
	nested := len(c.running) > 0 && !c.oneIn(8)
	switch {
	case !c.alive:
	case nested:
		m := c.running[len(c.running)-1]
		if !m.returned && (m.call || c.oneIn(3)) { // a reply, or that the handler failed
			m.returned = true
			c.report(m)
			return
		}
		c.running = c.running[:len(c.running)-1]
		if len(c.running) == 0 {
			c.stalled(-c.stalls)
		}
		c.say("the worker has handled %d", m.name)
		c.leave(m, m.due)
	case len(c.running) < 3:
		m, due, ok := c.inbox.Next()
		must(ok == (len(c.held) > 0), "what is there is handled")
		if ok {
			must(m == pop(&c.held), "messages are handled in the order in which they were sent")
			must(due == m.due, "what has its credit back has no more due")
			c.say("the worker handles %d", m.name)
			c.running = append(c.running, m)
			c.begins(m)
		} else if c.idle(); c.leaving && len(c.running) == 0 && len(c.down) == 0 {
			c.leaveForGood()
		}
	}
}

// begins is a handler that begins with a message.
func (c *conversation) begins(m *gameMessage) {
	if m.call {
		return
	}
	must(!m.told, "what main was told of does not come again")
	must(!m.began || m.marked, "what was begun before has a mark")
	if !m.began {
		must(c.again == 0 || c.owed[0] == m, "no message is skipped")
		c.settle(m)
	}
	m.began, m.begun, c.begunTo = true, true, m.serial
}

// idle is the worker that has nothing to do.
func (c *conversation) idle() { c.flush() }

// leaveForGood ends a life that was told to end, and has nothing left to do.
func (c *conversation) leaveForGood() {
	c.say("the worker leaves")
	whole := !c.sealed
	c.seal()
	c.flush()
	c.boxed = true
	for _, m := range c.written {
		must(m.left || !whole, "who ends after its last message has handled all")
	}
	c.die()
}

// stall lets the handler that runs begin to wait for another process, or go on.
func (c *conversation) stall() {
	if len(c.running) > 0 {
		if c.stalls > 0 && c.oneIn(2) {
			c.stalled(-1)
		} else {
			c.stalled(1)
		}
	}
}

func (c *conversation) stalled(by int) {
	if by == 0 {
		return
	}
	c.say("the worker waits for others, %+d", by)
	credited := c.inbox.Stall(by)
	var want []*gameMessage
	if c.stalls += by; by > 0 && c.stalls == by {
		for _, m := range c.held {
			if !m.credited {
				want = append(want, m)
			}
		}
	}
	must(len(credited) == len(want), "who begins to wait gives credit for all that it has not")
	for i, l := range credited {
		must(l.Message == want[i], "credit is given back in order")
		c.credit(l.Message, l.Due)
	}
}

// seal lets the worker take nothing any more.
func (c *conversation) seal() {
	if c.alive && !c.sealed {
		c.say("the worker takes nothing any more")
		c.sealed = true
		rest := c.inbox.Seal()
		must(len(rest) == len(c.held), "all comes out")
		c.held = nil
		for _, l := range rest {
			if m := l.Message; c.again > 0 && !m.call { // main hands it on
				m.credited = true
				c.sunk += l.Due
			} else {
				c.refuse(m, l.Due)
			}
		}
	}
}

// flush tells main what is to be confirmed.
func (c *conversation) flush() {
	if c.alive {
		if bytes, upTo, ok := c.receipts.Take(); ok {
			c.up = append(c.up, gameFrame{kind: "credit", bytes: int64(bytes), upTo: upTo})
		}
	}
}

// mainReads lets main read a frame.
func (c *conversation) mainReads() {
	if len(c.up) == 0 {
		return
	}
	f := pop(&c.up)
	c.say("main reads %s %+v", f.kind, f)
	switch m := f.about; f.kind {
	case "credit":
		must(c.box.Granted(uint64(f.bytes), f.upTo), "an honest worker is believed")
		c.confirm(f.upTo)
	case "alone":
		got, ok := c.box.Ledger.Strike(m.serial)
		must(ok && got == m && !m.told, "an honest worker is believed")
		m.told = true
	case "report":
		got, ok := c.box.Ledger.Strike(m.serial)
		must(ok && got == m && !m.told, "what became of a message is told once")
		m.told = true
	case "reply":
		got, ok := c.box.Ledger.Answered(m.number)
		must(ok && got == m, "a call has one reply, its own")
		c.asked = slices.DeleteFunc(c.asked, func(o *gameMessage) bool { return o == m })
		_, again := c.box.Ledger.Answered(m.number)
		must(!again, "a call has one reply")
	}
	c.pump()
}

// confirm notes that main was told that all up to a serial have left the inbox.
func (c *conversation) confirm(upTo uint64) {
	for _, m := range c.written[:upTo] {
		must(m.left, "what has not left the inbox is not confirmed")
		m.told = true
	}
	c.upTo = max(c.upTo, upTo)
}

// lie is a worker that says what cannot be.
func (c *conversation) lie() {
	len, free, calls := c.box.Ledger.Len(), c.box.Window.free, c.box.Ledger.Calls()
	switch c.dice(3) {
	case 0:
		bytes, upTo := uint64(c.dice(gameWindow)), uint64(c.dice(int(c.unconfirmed())+int(c.upTo)+3))
		switch c.dice(8) {
		case 0:
			bytes = 1<<64 - 1 - bytes
		case 1:
			upTo = 1<<64 - 1 - upTo
		case 2:
			bytes = 0
		case 3:
			upTo = c.upTo
		}
		news := upTo > c.upTo && upTo <= c.upTo+c.unconfirmed()
		if bytes <= uint64(gameWindow-min(c.room(), gameWindow)) && c.alive && (news || upTo == c.upTo && bytes > 0) {
			return // it may be
		}
		if !c.alive && bytes <= uint64(gameWindow) {
			return // nobody says it
		}
		must(!c.box.Granted(bytes, upTo), "nobody gives back more than was sent, or nothing")
	case 1:
		serial := uint64(c.dice(int(c.unconfirmed()) + int(c.upTo) + 3))
		if serial > c.upTo && serial <= c.upTo+c.unconfirmed() && !c.settled(serial) {
			return
		}
		_, ok := c.box.Ledger.Strike(serial)
		must(!ok, "what became of a message is told once")
	case 2:
		number := uint64(c.dice(c.names + 2))
		if slices.ContainsFunc(c.asked, func(m *gameMessage) bool { return m.number == number }) {
			return
		}
		_, ok := c.box.Ledger.Answered(number)
		must(!ok, "nobody replies to what was not asked")
	}
	same := c.box.Ledger.Len() == len && c.box.Window.free == free && c.box.Ledger.Calls() == calls
	must(same, "a lie changes nothing")
}

// unconfirmed is the number of messages that main may be told of.
func (c *conversation) unconfirmed() uint64 { return uint64(len(c.written)) - c.upTo }

// settled reports whether main was told of a message alone.
func (c *conversation) settled(serial uint64) bool { return c.written[serial-1].told }

// die ends the life.
func (c *conversation) die() {
	if !c.alive {
		return
	}
	c.say("the worker dies")
	reads := len(c.up)
	if !c.boxed && reads > 0 {
		reads = c.dice(reads + 1)
	}
	for range reads {
		c.mainReads()
	}
	if c.boxed {
		if c.box.Ledger.Handled(c.boxedTo) {
			c.confirm(c.boxedTo)
		}
	}
	if c.boxed && c.again > 0 {
		c.box.Ledger.Begun(c.begunTo)
	}
	lost, calls := c.box.Detach()
	var want []*gameMessage
	for _, m := range c.written {
		if !m.told {
			want = append(want, m)
			must(!m.left || !c.boxed, "what was handled is not lost")
		}
		must(m.left || !m.told || m.reported, "what was not handled is lost")
	}
	must(slices.EqualFunc(lost, want, func(l Lost[*gameMessage], m *gameMessage) bool { return l.Letter == m }),
		"exactly the messages that nobody has been told of are lost, in order")
	c.handOn(lost)
	must(slices.Equal(calls, c.asked), "the calls that have no reply end, in order")
	c.down, c.up, c.written, c.asked, c.held, c.running = nil, nil, nil, nil, nil, nil
	c.waiting = slices.DeleteFunc(c.waiting, func(m *gameMessage) bool { return m.place.last })
	c.alive, c.sealed, c.leaving, c.closing = false, false, false, false
	c.stalls, c.came, c.upTo, c.boxedTo, c.begunTo, c.sunk = 0, 0, 0, 0, 0, 0
}

// handOn lets the next life have what was lost with this one, or counts it as lost.
func (c *conversation) handOn(lost []Lost[*gameMessage]) {
	for i, l := range slices.Backward(lost) {
		m := l.Letter
		must(l.Begun || !m.begun, "what was begun is known")
		must(l.Begun == m.begun || !c.boxed || c.again == 0, "what was begun is known exactly, if the life has left it behind")
		if m.begun && c.boxed || i == 0 && !c.boxed {
			m.deaths++
		}
		if c.again == 0 {
			c.settle(m)
			continue
		}
		m.marked = m.marked || l.Begun
		goesOn := c.box.Again(&m.place, l.Suspect, c.again)
		must(goesOn == (m.deaths <= c.again), "what has ended as many lives as it may is given up, and nothing else")
		*m = gameMessage{place: m.place, name: m.name, cost: m.cost, began: m.began, marked: m.marked, deaths: m.deaths}
		if goesOn {
			c.waiting = slices.Insert(c.waiting, 0, m)
			if c.settle(m); !m.began { // it may have been refused, of which main was not told
				at, _ := slices.BinarySearchFunc(c.owed, m.name, func(o *gameMessage, name int) int { return o.name - name })
				c.owed = slices.Insert(c.owed, at, m)
			}
		} else {
			c.settle(m)
		}
	}
}

// room is the room that main may use: the window without what is anywhere and costs something.
func (c *conversation) room() int64 {
	if !c.alive {
		return 0
	}
	cost := func(m *gameMessage) int64 { return m.due }
	taken := sum(c.down, func(f gameFrame) int64 {
		if f.kind == "message" || f.kind == "call" {
			return f.about.cost
		}
		return 0
	})
	taken += sum(c.up, func(f gameFrame) int64 { return f.bytes })
	return gameWindow - c.sunk - taken - sum(c.held, cost) - sum(c.running, cost) - c.receipts.bytes
}

func (c *conversation) check() {
	must(c.box.Window.free == c.room(), "credit is neither lost nor made")
	must(c.receipts.bytes >= 0 && c.receipts.bytes < gameWindow/4, "a quarter of the window is given back at once")
	must(c.box.Waiting() == len(c.waiting), "what waits is known")
	load := len(c.waiting) + int(c.unconfirmed()) + len(c.asked)
	must(c.box.Load() == load, "the load is what waits and what has no answer")
	must(c.inbox.Len() == len(c.held) || !c.alive, "the inbox holds what has come")
	c.checkTurn()
	if c.alive && len(c.waiting) > 0 && !c.closed() {
		first := c.waiting[0]
		must(!first.place.last && c.room() < min(first.cost, gameWindow/2), "nothing waits that could go")
	}
}

// checkTurn compares what main says of what the worker is at with what it is at, as soon as main has
// read what the worker has said.
func (c *conversation) checkTurn() {
	if !c.alive || len(c.up) > 0 || c.sealed {
		return
	}
	turn := c.box.Ledger.Turn(c.boxedTo, true)
	var at *gameMessage
	switch coming := func(f gameFrame) bool { return f.kind == "message" || f.kind == "call" }; {
	case len(c.running) > 0:
		if at = c.running[0]; at.returned {
			return
		}
	case len(c.held) > 0:
		at = c.held[0]
	case slices.ContainsFunc(c.down, coming):
		at = c.down[slices.IndexFunc(c.down, coming)].about
	}
	switch {
	case at == nil:
		must(turn == Turn[*gameMessage, *gameMessage]{}, "who has nothing to do is at nothing")
	case at.call:
		must(turn.Call == at && turn.Number == at.number && turn.Serial == 0, "the call is known that a worker is at")
	default:
		must(turn.Letter == at && turn.Number == 0 && turn.Serial > 0, "the message is known that a worker is at")
	}
}

func (c *conversation) finish() {
	if c.oneIn(3) { // no further life comes
		c.die()
		var rest []*gameMessage
		for _, p := range c.box.Clear() {
			rest = append(rest, p.Message)
		}
		must(slices.Equal(rest, c.waiting), "what waits is given back in order")
		c.waiting = nil
		return
	}
	for range 100_000 {
		switch {
		case !c.alive && len(c.waiting) == 0:
			return
		case !c.alive:
			c.begin()
		case len(c.down) > 0:
			c.workerReads()
		case len(c.held)+len(c.running) > 0:
			c.work()
		case len(c.up) > 0:
			c.mainReads()
		case c.leaving:
			c.leaveForGood()
		case c.receipts.bytes > 0 || c.receipts.told != c.receipts.upTo:
			c.flush()
		case c.sealed:
			c.die()
		default:
			must(len(c.waiting) == 0, "all is sent at some time")
			must(c.box.Window.free == gameWindow && c.box.Load() == 0, "nothing is held in the end")
			must(len(c.receipts.early) == 0, "nothing is confirmed out of its turn in the end")
			return
		}
		c.check()
	}
	must(false, "a conversation comes to its end")
}
