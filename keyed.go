package multiprolab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// Keyed returns the name of a receiver for Send and Call: of that instance of a pool which a key
// belongs to. It is always the same one, so that what it has in memory for the key is used again;
// main finds it when it passes the message on. When Resize adds or takes away one of n instances,
// about 1/n of the keys move; so do those of an instance that has ended for good. While an instance
// is replaced its messages wait. Tasks with TaskOptions.Sticky and the same key go to the same
// instance, if no other pool takes them.
func Keyed(pool, key string) string {
	return pool + "#" + strconv.Itoa(int(queue.BucketOf(key)))
}

// splitKeyed takes a name apart that Keyed has made. bucket is 0 if the name is none.
func splitKeyed(name string) (pool string, bucket queue.Bucket) {
	pool, number, ok := strings.Cut(name, "#")
	if n, err := strconv.ParseUint(number, 10, 16); ok && err == nil && n <= queue.Buckets {
		return pool, queue.Bucket(n)
	}
	return name, 0
}

// shownName is what a text calls a receiver: a name that Keyed has made says nothing to its reader.
func shownName(name string) string {
	if pool, bucket := splitKeyed(name); bucket > 0 {
		return fmt.Sprintf("Keyed(%q, ...)", pool)
	}
	return name
}

// keyedAdvice is what to do instead of a Keyed of something that is no pool.
func keyedAdvice(name string, known []string) string {
	pools := slices.DeleteFunc(slices.Clone(known), func(name string) bool { return name == MainName })
	pool, _, instance := splitInstance(name)
	isOf := func(n string) bool {
		of, _, ok := splitInstance(n)
		return n == name || ok && of == name
	}
	switch {
	case slices.ContainsFunc(pools, isOf):
		return "only Send and Call take a key: use one of " + strings.Join(known, ", ")
	case name == MainName:
		return "main is one process, and no pool: send to MainName itself"
	case instance && slices.Contains(pools, pool):
		return fmt.Sprintf("a key belongs to one of the instances of a pool: use Keyed(%q, key), or send to %q itself, "+
			"if that is there, without a key", pool, name)
	}
	return "register a worker with this name, or use Keyed with one of " + strings.Join(pools, ", ")
}

// home returns the instance of the pool that the keys of a bucket belong to: of those that go on,
// or else of those that are there.
func (p *pool) home(b queue.Bucket) *slot {
	seed := queue.Seed(p.name)
	var home *slot
	var goes bool
	var most uint64
	for _, s := range p.list() {
		stays, n := s.alive() && !s.leaving.Load(), b.Draw(seed, s.index)
		if home == nil || stays && !goes || stays == goes && n > most {
			home, goes, most = s, stays, n
		}
	}
	return home
}
