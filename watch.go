package multiprolab

import (
	"context"
	"strings"
)

// Watch tells what happens to the workers of a name, be it an instance, a spare, a pool or, if the
// name is empty, all: when one is up, *WorkerReady, and when it is down, *WorkerStopped or
// *WorkerFailed; first the last such event of each, so that nothing is missed between a look and a
// watch, and then each further one, in order for each worker. They are those that Config.OnEvent
// gets; a *WorkerStarted, which is neither up nor down, is not among them. Who watches a spare is
// told of the place that it gets, too.
//
// The channel is closed when ctx ends, or when nothing of the workers is left and all has been
// told; a ctx that ends is the way to stop watching. Watch never holds up the workers: who reads
// too slowly misses the oldest events, and gets *EventsMissed in their place.
func (m *Main) Watch(ctx context.Context, name string) (<-chan Event, error) {
	instance := strings.Replace(name, "/spare.", "/", 1) // a spare has no other name of that form
	if pool, _, ok := splitInstance(instance); name != "" && m.pool(name) == nil && (!ok || m.pool(pool) == nil) {
		return nil, &UnknownReceiverError{Receiver: name, Known: m.poolNames()}
	}
	if e := m.outside(); e != nil {
		return nil, e
	}
	return m.watchers.FollowState(ctx, m.ended, name), nil
}

// Events tells every event that Config.OnEvent gets: first the last hundred that there were, then
// each further one. It is for those who come later than New, such as a page that shows what has
// happened, and like Watch it never holds up anything: who reads too slowly misses the oldest
// events, and gets *EventsMissed in their place. A *DeadLetter comes without the body of its
// message. The channel is closed when ctx ends, which is the way to stop, or when nothing of the
// workers is left and all has been told.
func (m *Main) Events(ctx context.Context) (<-chan Event, error) {
	if e := m.outside(); e != nil {
		return nil, e
	}
	return m.watchers.Follow(ctx, m.ended), nil
}
