package combine

// Merged is Combiner.Merge for parts that may take so many bytes together.
var Merged = merged
