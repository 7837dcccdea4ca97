package outbox

import (
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Account is the credit of all lives of one instance. Its rules are mail.Account. It exists in
// main. Any goroutine may use it, and no method waits.
type Account struct {
	// window is how many bytes one life may have under way. It never changes.
	window int64

	// mu guards rules, present and late, and the field credit of the purse of each life.
	mu lockorder.Mutex[lockorder.Account]
	// rules keep the credit of all lives.
	rules *mail.Account
	// present posts a frame to the life that is told of its credit; nil before the first life.
	present func(f *wire.Frame)
	// late says that a timer is set that calls flush.
	late bool
}

// Purse is what one life may send. It exists in main. Any goroutine may use it, and no method
// waits.
type Purse struct {
	account *Account    // the account of the instance. It never changes.
	credit  mail.Credit // what the life may send, which the account guards
}

// NewAccount returns the account of an instance, before its first life.
func NewAccount(window int64) *Account {
	return &Account{window: window, rules: mail.NewAccount(window)}
}

// grantTime is how long credit that is due to a worker may gather while the worker may be waiting
// for it.
const grantTime = 5 * time.Millisecond

// Purse returns the purse of a life of the instance, which is empty until it is opened.
func (a *Account) Purse() Purse { return Purse{account: a} }

// Open begins the life, and returns how many bytes it may send; see mail.Account.Open. tell posts a
// frame to it for which no room is needed, unless the life has ended.
func (p *Purse) Open(tell func(f *wire.Frame)) int64 {
	a := p.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.present = tell
	return a.rules.Open(&p.credit)
}

// Held returns how many bytes main keeps of what the lives of the instance have sent.
func (a *Account) Held() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rules.Kept()
}

// Charge books a frame that the life has sent, and returns how many bytes of credit it costs. It
// returns an error if there was no room for the frame.
func (p *Purse) Charge(f *wire.Frame) (n int64, err error) {
	n = f.Cost()
	a := p.account
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.rules.Charge(&p.credit, n) {
	case mail.Gone:
		return n, link.ErrClosed // an earlier life has written it
	case mail.Excess:
		spent := p.credit.Spent() + n
		return n, &link.Violation{
			Reason: fmt.Sprintf("it sent %d bytes of messages with a window of %d", spent, a.window),
		}
	}
	a.hurry()
	return n, nil
}

// Grant returns credit for bytes of the life that main does not keep any more. The life is told
// when a quarter of its window has gathered or, if less than half of the window is left to it,
// after grantTime. With more left than that no sender waits.
func (p *Purse) Grant(bytes int64) {
	a := p.account
	a.mu.Lock()
	if a.rules.Grant(&p.credit, bytes) {
		a.payAndUnlock()
		return
	}
	a.hurry()
	a.mu.Unlock()
}

// Kept returns how many bytes main keeps of what this life has sent.
func (p *Purse) Kept() int64 {
	a := p.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return p.credit.Kept()
}

// hurry sets the timer for telling the worker what is due to it, if the worker may be waiting for
// that. The caller holds mu.
func (a *Account) hurry() {
	if !a.late && a.rules.Hurries() {
		a.late = true
		time.AfterFunc(grantTime, a.flush)
	}
}

// flush tells the worker what is due to it. It runs on a goroutine of the timer.
func (a *Account) flush() {
	a.mu.Lock()
	a.late = false
	a.payAndUnlock()
}

// payAndUnlock unlocks mu, which the caller holds, and tells the worker what is due to it.
func (a *Account) payAndUnlock() {
	bytes, tell := a.rules.Pay(), a.present
	a.mu.Unlock()
	if bytes > 0 {
		tell(wire.NewCredit(uint64(bytes), 0))
	}
}
