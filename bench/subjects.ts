/** What is measured: one way to make many Primus servers one. Survives structured cloning, because servers are made of it elsewhere. */
export interface Subject {
  /** As it is called in results. */
  readonly name: string
  /** The module, as `require` finds it from any directory: a path, or a package. */
  readonly module: string
  /** Whether it forwards through omega-supreme, which then has to be loaded beside it. */
  readonly omega: boolean
}

/** This project, as it was built last. */
export const ours: Subject = { name: 'this', module: require.resolve('../index'), omega: false }

/** What it is to be better than. */
export const former: Subject = { name: '1.0.2', module: require.resolve('metroplex1'), omega: true }
