/** What each library does here: a row and its event, in one transaction. */
export interface Registry {
  /** Registers a patient and tells of it as `ng.patient.<id>`. `then` is called before the transaction ends. */
  register(patient: Patient, then?: () => void): Promise<void>;
  close(): Promise<void>;
}

export interface Patient {
  readonly id: string;
  readonly name: string;
}

export function registered(patient: Patient) {
  return {
    subject: `ng.patient.${patient.id}`,
    key: patient.id,
    type: 'patient.registered',
    payload: patient,
  };
}
