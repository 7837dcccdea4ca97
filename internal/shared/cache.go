package shared

import "sync"

// Cache is the versions that one process has mapped, and who uses them: of each name the newest
// one that it has got, and older ones as long as somebody uses them. Any goroutine may use it.
type Cache struct {
	// Unmap gives back the memory of a version that nobody uses any more. It does not change.
	Unmap func(memory []byte)

	mu    sync.Mutex        // guards every other field, and those of the entries and versions
	names map[string]*entry // what is known of each name
	size  int64             // how many bytes are mapped
}

// entry is what a Cache knows of one name.
type entry struct {
	newest uint64   // the newest version that there is, as far as is known
	now    *Version // the newest version that was mapped, or nil
}

// Version is one version of a name that is mapped. Memory and Number do not change.
type Version struct {
	Number uint64 // from 1
	Memory []byte // what is mapped; nil if it is empty
	users  int    // how often it was handed out and not given back
	of     *entry // the entry that has it, or nil
}

// entry returns the entry of a name. The caller holds mu.
func (c *Cache) entry(name string) *entry {
	e := c.names[name]
	if e == nil {
		e = &entry{}
		if c.names == nil {
			c.names = map[string]*entry{}
		}
		c.names[name] = e
	}
	return e
}

// Use returns the newest version of a name, for Release to give back, or nil if that is not mapped.
// Enough is a version that will do although there may be a newer one; zero means that none does.
func (c *Cache) Use(name string, enough uint64) *Version {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(name)
	if e.now == nil || e.now.Number < e.newest && (enough == 0 || e.now.Number < enough) {
		return nil
	}
	e.now.users++
	return e.now
}

// Again hands a version out once more, to somebody who has it.
func (c *Cache) Again(v *Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v.users++
}

// Told notes that there is a version of a name now. An older one is given back as soon as nobody
// uses it.
func (c *Cache) Told(name string, number uint64) {
	c.mu.Lock()
	e := c.entry(name)
	e.newest = max(e.newest, number)
	var old *Version
	if e.now != nil && e.now.Number < e.newest {
		old = c.drop(e)
	}
	c.mu.Unlock()
	c.unmap(old)
}

// Add takes in a version that was mapped.
func (c *Cache) Add(name string, number uint64, memory []byte) {
	v := &Version{Number: number, Memory: memory}
	c.mu.Lock()
	c.size += int64(len(memory))
	e := c.entry(name)
	old := v
	if e.now == nil || e.now.Number < number {
		old = c.drop(e)
		e.now, v.of, e.newest = v, e, max(e.newest, number)
	} else {
		c.size -= int64(len(memory))
	}
	c.mu.Unlock()
	c.unmap(old)
}

// Release gives a version back.
func (c *Cache) Release(v *Version) {
	c.mu.Lock()
	v.users--
	if v.of != nil && v.of.newest > v.Number && v.users == 0 {
		v.of.now, v.of = nil, nil
	}
	unused := c.unused(v)
	c.mu.Unlock()
	c.unmap(unused)
}

// Close gives back everything that nobody uses, and the rest as soon as nobody does.
func (c *Cache) Close() {
	c.mu.Lock()
	var all []*Version
	for _, e := range c.names {
		all = append(all, c.drop(e))
	}
	c.mu.Unlock()
	for _, v := range all {
		c.unmap(v)
	}
}

// Size returns how many bytes are mapped.
func (c *Cache) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// drop takes the version out of an entry, and returns it if it is to be unmapped. The caller holds
// mu.
func (c *Cache) drop(e *entry) *Version {
	v := e.now
	if v == nil {
		return nil
	}
	e.now, v.of = nil, nil
	return c.unused(v)
}

// unused returns the version if it is to be unmapped. The caller holds mu.
func (c *Cache) unused(v *Version) *Version {
	if v.of != nil || v.users > 0 {
		return nil
	}
	c.size -= int64(len(v.Memory))
	return v
}

// unmap gives back the memory of a version, which may be nil. It may take long, so that mu is free.
func (c *Cache) unmap(v *Version) {
	if v != nil && len(v.Memory) > 0 {
		c.Unmap(v.Memory)
	}
}
