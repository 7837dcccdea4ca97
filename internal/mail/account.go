package mail

// KeptWindows bounds how much main keeps of what all the lives of one worker have sent: so many
// windows. Main keeps it in its own inbox, in the outboxes of other workers, and in line for the
// queue. Each life has a whole window, until the lives before it have left less than that. So a
// worker that dies again and again while nobody takes what it sends fills main's memory no further.
const KeptWindows = 16

// Account is what the lives of one worker may send main. Each life has a Credit in it. Who uses it
// guards it.
type Account struct {
	// window is what one life may send before main gives anything back, in bytes.
	window int64
	// present is the credit of the life that is there, or that was there last; nil before the
	// first.
	present *Credit
	// debt is what main keeps of earlier lives, in bytes.
	debt int64
}

// NewAccount returns the account of a worker whose lives have windows of that size.
func NewAccount(window int64) *Account { return &Account{window: window} }

// Credit is what one life of a worker may send. Its account guards it.
type Credit struct {
	// spent is how many bytes the life has sent and has no credit back for, plus lack.
	spent int64
	// owed is the part of spent that main does not keep any more and has to give back, in bytes.
	owed int64
	// lack is how many bytes of a window the life does not have, because main keeps so much of what
	// earlier lives have sent.
	lack int64
}

// Charge is whether a life may send what it has sent.
type Charge uint8

// The charges.
const (
	Charged Charge = iota // the life had room for what it sent
	Gone                  // a life before the present one has sent it
	Excess                // the life had no room for what it sent: an honest worker waits
)

// Open begins a life, and returns the room that it has, in bytes: a window, or what is left, which
// may be nothing, or less.
func (a *Account) Open(c *Credit) (room int64) {
	if a.present != nil {
		a.debt += a.present.Kept()
	}
	a.present = c
	room = min(a.window, KeptWindows*a.window-a.debt)
	c.lack = a.window - room
	c.spent = c.lack
	return room
}

// Charge books n bytes that a life has sent, if it had room for them.
func (a *Account) Charge(c *Credit, n int64) Charge {
	switch {
	case a.present != c:
		return Gone
	case c.spent > a.window-min(n, a.window/2):
		return Excess
	}
	c.spent += n
	return Charged
}

// Grant notes that main does not keep so many bytes any more of what a life has sent. They are owed
// to the present life; if an earlier one has sent them, then only as far as the present one lacks
// them. Grant reports whether the present life is to be told now, because a quarter of the window
// has gathered.
func (a *Account) Grant(c *Credit, bytes int64) (due bool) {
	if now := a.present; now != c {
		a.debt -= bytes
		bytes = min(bytes, now.lack)
		now.lack -= bytes
	}
	a.present.owed += bytes
	return a.present.owed >= a.window/4
}

// Hurries reports whether something is owed to the present life while it has less than half a
// window left, so that it may be waiting for what it is owed.
func (a *Account) Hurries() bool {
	return a.present != nil && a.present.owed > 0 && a.present.spent > a.window/2
}

// Pay returns how many bytes the present life is to be told that it has back. It has them then.
func (a *Account) Pay() (bytes int64) {
	c := a.present
	bytes = c.owed
	c.spent -= bytes
	c.owed = 0
	return bytes
}

// Kept is how many bytes main keeps of what all lives have sent.
func (a *Account) Kept() int64 {
	kept := a.debt
	if a.present != nil {
		kept += a.present.Kept()
	}
	return kept
}

// Spent is how many bytes the life has sent and has no credit back for, plus what it lacks.
func (c *Credit) Spent() int64 { return c.spent }

// Kept is how many bytes main keeps of what the life has sent.
func (c *Credit) Kept() int64 { return c.spent - c.owed - c.lack }

// Lack is how many bytes of a window the life does not have, because of earlier lives.
func (c *Credit) Lack() int64 { return c.lack }
