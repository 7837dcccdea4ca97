package queue

// Buckets is how many buckets there are.
const Buckets = 1024

// Bucket is all the keys that always have one home: a number from 1 to Buckets, or 0 for none.
type Bucket uint16

// BucketOf returns the bucket of a key.
func BucketOf(key string) Bucket { return Bucket(Seed(key)%Buckets) + 1 }

// Draw is what a slot draws for the bucket, by the seed of its pool and by its number there.
func (b Bucket) Draw(seed uint64, index int) uint64 { return mix(mix(seed+uint64(b)) + uint64(index)) }

// Seed makes a number of a name.
func Seed(name string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// mix is a number in which every bit depends on every bit of h (SplitMix64).
func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
