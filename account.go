package multiprolab

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// account is the credit of all lives of one instance. Its rules are mail.Account. It exists in
// main. Any goroutine may use it, and no method waits.
type account struct {
	// window is how many bytes one life may have under way. It never changes.
	window int64

	// mu guards rules, present and late, and the field credit of the client of each life.
	mu lockorder.Mutex[lockorder.Account]
	// rules keep the credit of all lives.
	rules *mail.Account
	// present is the life that is told of its credit; nil before the first life.
	present payee
	// late says that a timer is set that calls flush.
	late bool
}

// payee is a life of a worker as its account knows it.
type payee interface {
	// tell posts a frame to the worker for which no room is needed, unless its life has ended.
	tell(f *wire.Frame)
}

// newAccount returns the account of an instance, before its first life.
func newAccount(window int64) *account {
	return &account{window: window, rules: mail.NewAccount(window)}
}

// grantTime is how long credit that is due to a worker may gather while the worker may be waiting
// for it.
const grantTime = 5 * time.Millisecond

// open begins a life, and returns how many bytes it may send; see mail.Account.Open.
func (a *account) open(life payee, credit *mail.Credit) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.present = life
	return a.rules.Open(credit)
}

// held returns how many bytes main keeps of what the lives of the instance have sent.
func (a *account) held() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rules.Kept()
}

// hurry sets the timer for telling the worker what is due to it, if the worker may be waiting for
// that. The caller holds mu.
func (a *account) hurry() {
	if !a.late && a.rules.Hurries() {
		a.late = true
		time.AfterFunc(grantTime, a.flush)
	}
}

// flush tells the worker what is due to it. It runs on a goroutine of the timer.
func (a *account) flush() {
	a.mu.Lock()
	a.late = false
	a.payAndUnlock()
}

// payAndUnlock unlocks mu, which the caller holds, and tells the worker what is due to it.
func (a *account) payAndUnlock() {
	bytes, present := a.rules.Pay(), a.present
	a.mu.Unlock()
	if bytes > 0 {
		present.tell(wire.NewCredit(uint64(bytes), 0))
	}
}
