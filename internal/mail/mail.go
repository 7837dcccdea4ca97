// Package mail is the rules of messages: who may send how much, in what order, what has been
// confirmed, what is lost with a death, and who must not wait for whom. It decides, and does
// nothing else: it has no goroutine, no lock, no clock and no frame. Who uses it guards it, carries
// out what it answers, and makes the texts for people.
//
// A conversation is what one process sends another. Its sending end is an Outbox, which outlasts
// the lives of its receiver:
//
//	Window   how many bytes the receiver has room for
//	Ledger   what was written to the present life and has not been confirmed
//	line     what waits for room, or for a life, first in, first out
//
// Its receiving end is two things:
//
//	Inbox     what has come and waits for its turn
//	Receipts  what is to be confirmed, and the credit that is to be given back
//
// Main has an Outbox for each worker. It confirms nothing to its workers: whatever becomes of a
// worker, main sees to the messages that it has sent. What all the lives of a worker may send main
// together is the worker's Account.
//
// A one-way message has a serial: the first one that is written to a life has 1. What becomes of
// each message is told exactly once. Either the receiver confirms it, by its serial, when a handler
// is done with it; or the receiver reports it, because no handler took it or the handler failed; or
// it is lost with the life. Messages nearly always leave an inbox in order. So one serial confirms
// all messages up to it, and the few that leave out of their turn are confirmed alone.
//
// What is lost with a life can be handed to the next one instead, before everything that waits, so
// that the order stays. What a handler may have begun with is marked then. A message comes to its
// end even if it ends every life that begins with it: it is handed on only so often.
//
// A caller is told what becomes of its call: by the reply, or by the end of the life that the call
// was written to.
package mail
